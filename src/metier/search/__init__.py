"""Which recipes to try, in which order, and which one to keep."""
