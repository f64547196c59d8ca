"""Trainers of segmenters, for `sv2r bench`: one module for each."""
