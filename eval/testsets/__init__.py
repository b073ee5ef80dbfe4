"""Balanced, labelled, hashed test sets out of reals, generators' outputs, perturbations and attacks; rebuildable.

options.py      the options, which are the recipe
inputs.py       DATA -> labelled rows with their hashes
groups.py       rows -> groups that share a person or a photograph -> splits
balance.py      groups -> as many reals as fakes, families as even as they go
selection.py    each file once, only what can be decoded whole
pictures.py     pictures -> one shared encoding, perturbed copies
folder.py       whose folder it is, what of it is there already
writing.py      files and manifest rows
summary.py      counts and remarks
shortcuts.py    the audit of the finished set
build.py        all of it, readable top to bottom
record.py       testset.json, the schema
datasheet.py    DATASHEET.md
verify.py       is it what it says, and does it come out again
"""
