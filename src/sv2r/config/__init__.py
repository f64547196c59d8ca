"""What a user asks for: options, layers, resolution, schema."""
