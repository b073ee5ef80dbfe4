"""Face swaps: two clips in, a labelled swap with its ground-truth mask out."""
