"""One script per claim; results as JSON lines in `results/`; `table.py` makes Markdown of them."""
