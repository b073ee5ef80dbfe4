"""Audit of a labelled data set: leakage between its splits, and shortcuts to its label.

    reading -> leakage, features -> shortcuts -> report

Import from the modules: this package imports nothing, so that `--help` is fast.
"""
