"""Benchmarks of sv2r: one command each; `lib` is what they share."""
