"""What learns from columns: their encodings, trees that grow, a glass box, made-up rows."""
