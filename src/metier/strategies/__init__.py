"""One technique a file: each turns a specialist into a better specialist."""
