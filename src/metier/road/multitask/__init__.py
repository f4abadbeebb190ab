"""The roads of `metier multitask` and `metier meta`: several tasks at once."""
