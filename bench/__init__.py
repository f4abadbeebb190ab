"""One script per claim; results as JSON lines in `results/`; `table.py` turns them into Markdown."""
