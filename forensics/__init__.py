"""Deepfake Forensics: finds deepfakes in videos and images, and says how far its answer can be trusted."""

__version__ = "0.1.0"
