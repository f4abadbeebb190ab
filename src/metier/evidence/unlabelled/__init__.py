"""What can be said of rows without labels: how unlike they are, how well a model does on them."""
