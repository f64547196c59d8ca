"""Training on real photographs: a LoRA, a ControlNet, a small model from scratch."""
