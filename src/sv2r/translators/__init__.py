"""Ways of making the pictures: one file, one plugin."""
