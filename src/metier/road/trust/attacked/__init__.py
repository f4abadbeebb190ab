"""Pictures, texts and columns, as attacks take them."""
