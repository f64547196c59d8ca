"""Makes pictures: what one worker does between a task and its record."""
