"""Adversarial test sets as files, and how far they carry from one detector to the others.

For every victim, attack and epsilon: a folder of PNGs with a manifest, made with the victim's gradient; then every target
scores clean and adversarial pictures through the path that any input takes. `run.py` joins the parts, top to bottom.
"""
