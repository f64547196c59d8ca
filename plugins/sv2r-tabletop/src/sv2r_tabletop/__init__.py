"""A table with mugs, bowls, bottles, boxes, balls and cans, as renders and as photographs.

A world in which the truth is known, to try sv2r in: `scene` says what is drawn, `render` makes
pictures of it, `dataset` writes them as a COCO dataset. `plugin` is what sv2r loads.
"""
