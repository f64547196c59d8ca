"""Looks at a picture before it is published: one file, one plugin."""
