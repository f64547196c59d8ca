"""Checks a dataset's labels before GPU hours are spent on its pictures."""
