"""One writer at a time: a file beside what is written, locked while that goes on (flock of POSIX).

The lock ends with the process that holds it, however it ends. Limits: processes of one machine; network file
systems differ.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of this name, a hidden file that is gone afterwards.

    Raises BlockingIOError where another process holds it and `wait` is off, OSError where it cannot be made.
    """
    how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, how)
            is_current = _is_at(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if is_current:
            break
        os.close(descriptor)  # its holder removed it while we waited
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who waits for it sees that it is gone
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
