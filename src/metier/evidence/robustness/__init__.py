"""What damage and attacks do to a score, and whether the attacks can be believed."""
