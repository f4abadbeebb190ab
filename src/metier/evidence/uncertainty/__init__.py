"""How sure a model is and with what right: calibration, sets, thresholds, answers left out."""
