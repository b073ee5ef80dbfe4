"""Families of labelled fakes made from still pictures, each with its reals beside it: `forensics generate stills`."""
