"""A trained swap, or a clip -> figures, each with its control."""
