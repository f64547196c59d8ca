"""Ways of laying out the result: one file, one plugin."""
