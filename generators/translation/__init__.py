"""Pictures to pictures: pairs made or given, their game, and trained translators applied to files of any size."""
