"""What every fuzz target runs: atheris on its seeds, then on the corpus folders of the command line."""

import sys
from collections.abc import Callable, Iterable


def run_fuzzer(target: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Fuzz until it is stopped or something fails. atheris is imported here: the targets also run without it, in tests."""
    import atheris

    atheris.instrument_all()
    for seed in seeds:
        target(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
