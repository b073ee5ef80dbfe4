"""Work ahead in a thread, a bounded number of steps."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

T = TypeVar("T")
POLL_S = 0.1
JOIN_S = 1.0


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for; errors arrive in place."""
    ready: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=max(1, depth))
    stopped = threading.Event()

    def put(entry: tuple[T | None, BaseException | None, bool]) -> None:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=POLL_S)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put((item, None, False))
                if stopped.is_set():
                    return
            put((None, None, True))
        except BaseException as error:  # noqa: BLE001  (raised again where the items are used)
            put((None, error, True))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error, is_last = ready.get()
            if error is not None:
                raise error
            if is_last:
                return
            yield cast(T, item)  # only the last entry holds no item
    finally:
        stopped.set()
        # A thread that is still in an extension when the interpreter ends would abort it; one that waits for input is left.
        thread.join(timeout=JOIN_S)
