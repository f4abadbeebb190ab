"""Reading, checking and splitting what the user brings."""
