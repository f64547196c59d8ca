"""The `sv2r` command: one file per subcommand."""
