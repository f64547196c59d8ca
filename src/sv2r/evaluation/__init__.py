"""How near translated pictures are to photographs, and what became of their objects."""
