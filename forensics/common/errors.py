"""Typed errors: one line that says what is wrong, one hint that says what to do.

Everything that the toolkit raises on purpose derives from `ForensicsError`. A command prints the message and the hint,
never a traceback; a batch turns an error of one file into that file's outcome and goes on.
"""

from forensics.common.outcomes import Outcome


class ForensicsError(Exception):
    """Base of all errors that a user can meet; `hint` says what to do next."""

    exit_status = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ForensicsError):
    """The command, its options or its configuration cannot be carried out as given."""


class WeightsError(ForensicsError):
    """Weights are missing, damaged, or not those that were pinned."""


class ManifestError(ForensicsError):
    """A manifest cannot be read, or lacks what the command needs."""


class MediaError(ForensicsError):
    """One input cannot be analysed; `outcome` is what its record says."""

    exit_status = 3

    def __init__(self, message: str, hint: str = "", outcome: Outcome = Outcome.UNREADABLE) -> None:
        super().__init__(message, hint)
        self.outcome = outcome


class DetectorError(MediaError):
    """A detector failed on an input: an exception, NaN, or a value outside [0, 1]."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, Outcome.DETECTOR_ERROR)
