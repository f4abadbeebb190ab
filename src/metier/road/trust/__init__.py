"""The roads of `metier audit` and `metier explain`: a finished specialist looked at."""
