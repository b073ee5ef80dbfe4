"""Pillow's tolerance of damaged files is one switch for the whole process, and its decoders read it at any moment.

A picture that one thread decodes while another tolerates damage would be taken for whole though it is cut off, or for
unreadable though most of it is there. So strict passes run beside each other, and a tolerant one runs alone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile


class _Passes:
    """Strict passes that are running, and tolerant ones that run or wait for their end."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.n_strict = 0
        self.n_tolerant = 0


_PASSES = _Passes()


@contextmanager
def strict() -> Iterator[None]:
    """Errors in a file are errors for as long as this lasts. Not to be nested."""
    with _PASSES.changed:
        _PASSES.changed.wait_for(lambda: _PASSES.n_tolerant == 0)  # else whole files could keep a damaged one waiting
        _PASSES.n_strict += 1
    try:
        yield
    finally:
        with _PASSES.changed:
            _PASSES.n_strict -= 1
            _PASSES.changed.notify_all()


@contextmanager
def tolerant() -> Iterator[None]:
    """What is missing of a file is filled in; no other pass runs meanwhile. Not to be nested."""
    with _PASSES.changed:  # held until the end: no other pass can begin
        _PASSES.n_tolerant += 1
        try:
            _PASSES.changed.wait_for(lambda: _PASSES.n_strict == 0)
            ImageFile.LOAD_TRUNCATED_IMAGES = True
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            _PASSES.n_tolerant -= 1
            _PASSES.changed.notify_all()
