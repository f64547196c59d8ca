"""Pictures and masks with the same stem, in nested folders. The plugin is in loader.py."""
