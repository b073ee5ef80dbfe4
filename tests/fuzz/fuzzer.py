"""What every fuzz target runs: atheris on its seeds, then on the corpus folders of the command line."""

import sys
from collections.abc import Callable, Iterable
from inspect import isclass, isfunction
from types import ModuleType


def run_fuzzer(target: Callable[[bytes], None], seeds: Iterable[bytes], parser: ModuleType) -> None:
    """Fuzz until it is stopped or something fails, led by which lines of `parser` are reached.

    atheris is imported here: the targets also run without it, in tests.
    """
    import atheris

    own = [value for value in vars(parser).values() if getattr(value, "__module__", "") == parser.__name__]
    members = [member for value in own if isclass(value) for member in vars(value).values()]
    for value in (*own, *members, *(member.fget for member in members if isinstance(member, property))):
        if isfunction(value):
            atheris.instrument_func(value)
    atheris.instrument_func(target)
    for seed in seeds:
        target(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
