"""One network for several tasks, and a start from which new ones are learned from few rows."""
