"""A bundle as a service: batches, limits, monitoring and a page to try it, without torch."""
