"""How sv2r is extended: typed specs, nine hooks, a registry that keeps failures, options."""
