"""Who is served worse, and how far groups lie apart."""
