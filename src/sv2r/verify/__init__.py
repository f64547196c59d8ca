"""Checks a finished dataset again, from its files alone."""
