"""Metrics with intervals, paired comparisons, calibration and cost."""
