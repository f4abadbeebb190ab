"""What learns from rows without labels: their answers, neighbours, words and domain."""
