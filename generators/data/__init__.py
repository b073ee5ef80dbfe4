"""What generators learn from: manifests and folders -> squares of one size, by index, the same on every run."""
