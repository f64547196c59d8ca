"""Places where workers run: one file, one plugin."""
