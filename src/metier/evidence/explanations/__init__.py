"""What an answer comes from, and how far the explanation can be believed."""
