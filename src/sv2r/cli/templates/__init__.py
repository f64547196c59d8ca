"""What `sv2r plugins new` writes: whole, working plugins under the name my-plugin."""
