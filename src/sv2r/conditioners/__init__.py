"""Control maps that are made from a frame: one file, one plugin."""
