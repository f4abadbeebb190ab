"""Learning that asks for groups to be answered alike."""
