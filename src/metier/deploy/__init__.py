"""Writing bundles: graphs, parity, manifest and card."""
