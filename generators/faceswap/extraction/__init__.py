"""Clips -> faces through time -> aligned faces in a folder."""
