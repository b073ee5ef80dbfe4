"""Heatmaps judged by masks: does a detector look where the picture was altered? `forensics bench explain`."""
