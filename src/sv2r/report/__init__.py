"""One page that shows a finished dataset: the worst first, with labels, scores and reasons."""

# Pictures that the page holds itself where nobody says how many.
EMBEDDED = 96
