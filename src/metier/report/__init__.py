"""One HTML page, a model card and a terminal summary that a person can read."""
