"""Two processes of one test, started by torch's own `spawn`."""

import os
import socket
import time
from collections.abc import Callable

import pytest
import torch
import torch.multiprocessing as mp

from generators.parallel import Processes

PAIR_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def pair(work: Callable[..., None], *arguments: object) -> None:
    """`work(rank, port, *arguments)` in two processes; an assertion that fails in one fails here."""
    context = mp.spawn(work, (free_port(), *arguments), nprocs=2, join=False)
    assert context is not None
    end = time.monotonic() + PAIR_TIMEOUT_S
    while not context.join(timeout=1):
        if time.monotonic() > end:
            for process in context.processes:
                process.kill()
            pytest.fail("the two processes wait for each other")


def joined(rank: int, port: int) -> Processes:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port), OMP_NUM_THREADS="1",
    )  # fmt: skip
    torch.set_num_threads(1)
    return Processes("auto" if not torch.cuda.is_available() else "cpu")
