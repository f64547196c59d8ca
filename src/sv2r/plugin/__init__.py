"""How sv2r is extended: typed specs, eight hooks, a registry that keeps failures, options."""
