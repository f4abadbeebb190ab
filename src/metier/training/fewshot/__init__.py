"""What helps where a class has only a few rows: pairs, averages, and the names of the labels."""
