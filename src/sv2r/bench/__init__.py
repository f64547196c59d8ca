"""`sv2r bench`: what pictures are worth as training data, by AP on real photographs."""
