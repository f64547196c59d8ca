"""The short folder-to-folder command, on sv2r's engine."""
