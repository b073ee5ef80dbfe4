"""A clip -> the same clip with its faces replaced, its mask, its manifest."""
