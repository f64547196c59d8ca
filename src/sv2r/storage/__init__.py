"""Files that appear whole or not at all, paths that stay inside, hashes, strict YAML."""
