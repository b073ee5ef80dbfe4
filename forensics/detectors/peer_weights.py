"""Detectors named with a file of their authors' weights: `meso4@path/Meso4_DF.h5`.

Imports neither networks nor numpy: configurations and command lines handle such names before anything is loaded.
"""

from collections.abc import Sequence
from pathlib import Path

from forensics.common.errors import UsageError
from forensics.common.files import safe_name, sha256_of_file

# Detectors that read a file of their authors' weights, all of them by `forensics.detectors.mesonet_keras` so far.
READ_FILES = ("meso4", "mesoinception4")
SEPARATOR = "@"


def split_name(name: str) -> tuple[str, Path | None]:
    """`NAME@FILE` as NAME and FILE; any other name as itself and None. Raises UsageError where NAME reads no file."""
    kind, found, file = name.partition(SEPARATOR)
    if not found or name.endswith(".py"):
        return name, None
    if kind not in READ_FILES:
        raise UsageError(
            f"detector '{name}': '{kind}' reads no weights file", f"NAME@FILE is for {' and '.join(READ_FILES)}"
        )
    if not file:
        raise UsageError(f"detector '{name}' names no file", f"for example {kind}@path/to/weights.h5")
    return kind, Path(file)


def shown_name(name: str) -> str:
    """What reports and tables call a detector: `meso4@Meso4_DF` for `meso4@path/Meso4_DF.h5`, others by their name."""
    kind, file = split_name(name)
    return name if file is None else f"{kind}{SEPARATOR}{safe_name(file.stem)}"


def file_hashes(detectors: Sequence[str]) -> dict[str, str]:
    """SHA-256 of each file that a detector is named with, by NAME@ and the file's name without its folder."""
    pairs = [split_name(name) for name in detectors]
    return {f"{kind}{SEPARATOR}{file.name}": sha256_of_file(file) for kind, file in pairs if file is not None}


def with_weights(detectors: Sequence[str], files: Sequence[Path]) -> tuple[str, ...]:
    """The detectors with each file attached to the named one whose layers it holds.

    One detector may get several files and then stands once for each; one that gets none stays as it is, and reads the
    set of weights. Raises UsageError for a file that is not there or fits none of the detectors, WeightsError for one
    that is no such file.
    """
    from forensics.detectors.mesonet_keras import kind_of

    attached: dict[str, list[str]] = {}
    for file in files:
        kind = kind_of(file)
        if kind not in detectors:
            named = ", ".join(detectors) or "none"
            raise UsageError(
                f"{file} holds the layers of {kind}, and no such detector is asked for (asked for: {named})",
                f"add --detector {kind}",
            )
        attached.setdefault(kind, []).append(f"{kind}{SEPARATOR}{file}")
    named_with_files = (name for detector in detectors for name in attached.get(detector, [detector]))
    return tuple(dict.fromkeys(named_with_files))
