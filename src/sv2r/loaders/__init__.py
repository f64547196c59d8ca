"""Dataset formats: one file, one plugin."""
