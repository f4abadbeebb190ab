"""What is done with finished bundles: compared, made smaller, exported."""
