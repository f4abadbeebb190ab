"""The main road: read, check, split, shortlist, climb, choose, prove, bundle, report.

Each stage is a room of its own; here they are joined, in one order, under one clock. `travel` reads
like a table of contents; beside it lie what was asked (`options`, `asked`), the way in (`intake`),
what the time allows (`pace`) and the way out (`tail`).
"""
