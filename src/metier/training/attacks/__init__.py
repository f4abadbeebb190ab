"""What a small change of the input can do to a net, and learning from the worst of it."""
