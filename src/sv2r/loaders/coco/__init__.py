"""COCO: one JSON file of pictures, categories and masks. The plugin is in loader.py."""
