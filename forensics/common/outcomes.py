"""What can become of an input. A failure is one of these, never a made-up score."""

from enum import StrEnum


class Outcome(StrEnum):
    """Typed result of analysing one input."""

    SCORED = "scored"
    NO_FACE = "no_face"
    TOO_SMALL = "too_small"
    UNREADABLE = "unreadable"
    NO_VIDEO = "no_video"
    LIMIT_EXCEEDED = "limit_exceeded"
    DETECTOR_ERROR = "detector_error"

    @property
    def analysed(self) -> bool:
        """Whether the input was looked at to the end: a picture without a face was, an unreadable file was not."""
        return self in (Outcome.SCORED, Outcome.NO_FACE, Outcome.TOO_SMALL)
