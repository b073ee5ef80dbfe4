"""What a person sees of a training run: its log, its health in plain words, its curves, its sample grid."""
