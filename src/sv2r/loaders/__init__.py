"""Dataset formats: one file or one package, one plugin."""
