"""One page that shows a finished dataset: the worst first, with labels, scores and reasons."""
