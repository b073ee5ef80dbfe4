"""From the name of a video to the recording that it was made from.

Statistics cluster by the original recording and by person, so a fake must be traced to its target: the video that was
manipulated, which gives every pixel outside the face. The donor gives the face (or, in reenactment, the expression).

FaceForensics++: `<target sequence>_<source sequence>`, DeepFakeDetection: `<target actor>_<source actor>__<scene>__<id>`
and `<actor>__<scene>` for originals (dataset/README.md of github.com/ondyari/FaceForensics, "Manipulated sequence
filenames"). Celeb-DF: `id0_id1_0000` is the video `id0_0000` with the face of `id1` (Li et al. 2020, arXiv 1909.12962,
section 3: a target, several donors). The ids differ in form, so they do not meet when collections are pooled.
"""

import re
from dataclasses import dataclass

_FFPP_FAKE = re.compile(r"(\d{3})_(\d{3})")
_DFD_FAKE = re.compile(r"(\d{2})_(\d{2})__(.+)__[A-Za-z0-9]{8}")
_DFD_REAL = re.compile(r"(\d{2})__(.+)")
_CELEB_FAKE = re.compile(r"(id\d+)_(id\d+)_(\d+)")
_CELEB_REAL = re.compile(r"(id\d+)_(\d+)")


@dataclass(frozen=True)
class Origin:
    """`source`: id of the original recording; `identity`: the person in it, "" where the name does not tell."""

    source: str
    identity: str = ""
    donor: str = ""


def ffpp_original(name: str) -> Origin:
    """A YouTube sequence of FaceForensics++: one recording, taken as one person (which 977 source videos nearly are)."""
    return Origin(name, name)


def ffpp_manipulated(name: str) -> Origin | None:
    """`000_003` -> target 000, donor 003. None for another form."""
    match = _FFPP_FAKE.fullmatch(name)
    return Origin(match[1], match[1], match[2]) if match else None


def dfd_original(name: str) -> Origin | None:
    """`01__walking_outside` -> that recording of actor 01."""
    match = _DFD_REAL.fullmatch(name)
    return Origin(name, f"actor{match[1]}") if match else None


def dfd_manipulated(name: str) -> Origin | None:
    """`01_02__walking_outside__ABCD1234` -> the recording `01__walking_outside`, donor actor 02."""
    match = _DFD_FAKE.fullmatch(name)
    return Origin(f"{match[1]}__{match[3]}", f"actor{match[1]}", f"actor{match[2]}") if match else None


def celebdf_original(name: str) -> Origin:
    """`id0_0000` -> person id0; `00170` of YouTube-real -> a person who is not named."""
    match = _CELEB_REAL.fullmatch(name)
    return Origin(name, match[1] if match else "")


def celebdf_manipulated(name: str) -> Origin | None:
    """`id0_id1_0000` -> the recording `id0_0000`, donor id1."""
    match = _CELEB_FAKE.fullmatch(name)
    return Origin(f"{match[1]}_{match[3]}", match[1], match[2]) if match else None
