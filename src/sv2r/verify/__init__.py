"""Looks at a finished dataset again, from the files alone."""
