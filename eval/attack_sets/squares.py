"""Which squares of a picture a detector will see: what the attack may change, found as a scan finds them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from eval.attacks import Attack
from eval.attacks.patch import MIN_SIDE_PX, side_px
from eval.attacks.quantisation import Picture
from forensics.common.errors import MediaError, UsageError
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.faces.canonical import canonical_square, place_square
from forensics.faces.still import detect_in_stills
from forensics.faces.types import FaceDetector
from forensics.media.reader import MediaReader
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import Sampling


@dataclass(frozen=True)
class Square:
    """A square of whole pixels inside a picture."""

    x: int
    y: int
    side: int

    def cut(self, picture: Picture) -> Picture:
        """A copy of its pixels, (side, side, 3)."""
        return np.ascontiguousarray(picture[self.y : self.y + self.side, self.x : self.x + self.side])

    def paste(self, picture: Picture, crop: Picture) -> None:
        """Put a crop back where it came from."""
        picture[self.y : self.y + self.side, self.x : self.x + self.side] = crop

    def overlaps(self, other: "Square") -> bool:
        """Whether they share a pixel."""
        return (
            self.x < other.x + other.side
            and other.x < self.x + self.side
            and self.y < other.y + other.side
            and other.y < self.y + self.side
        )


@dataclass(frozen=True)
class Prepared:
    """An item and its squares; none where the outcome is not `scored`, and the message says why.

    place: its index among all items of the run. area: pixels of the whole picture, 0 where it could not be read.
    """

    place: int
    item: Item
    shown: str
    sha256: str
    area: int
    squares: tuple[Square, ...]
    outcome: Outcome = Outcome.SCORED
    message: str = ""


def refuse_videos(items: Sequence[Item]) -> None:
    """Raise UsageError where an item is a video; what cannot be read is found out later."""
    videos = [item.path for item in items if _is_video(item)]
    if videos:
        raise UsageError(
            f"{len(videos)} of {len(items)} items are videos, the first is {videos[0].name}: only pictures are attacked",
            "take frames of them as PNG, or give a data set of pictures",
        )


def prepare(
    items: Sequence[Item],
    shown: Sequence[str],
    hashes: Sequence[str],
    reader: MediaReader,
    faces: FaceDetector | None,
    progress: Progress,
) -> list[Prepared]:
    """Decode every item once and find its squares. `faces` is needed for items of the view `scene`."""
    prepared = []
    with progress.task("finding faces", len(items)) as bar:
        for place, (item, name, sha256) in enumerate(zip(items, shown, hashes, strict=True)):
            try:
                picture = read_picture(reader, item)
                squares, area = squares_of(picture, item.view, faces), picture.shape[0] * picture.shape[1]
                missing = (Outcome.SCORED, "") if squares else (Outcome.NO_FACE, "no face was found")
                prepared.append(Prepared(place, item, name, sha256, area, squares, *missing))
            except MediaError as error:
                prepared.append(Prepared(place, item, name, sha256, 0, (), error.outcome, error.message))
            bar(1)
    return prepared


def read_picture(reader: MediaReader, item: Item) -> Picture:
    """The first picture of a file, upright, (H, W, 3) uint8 of its own memory. Raises MediaError."""
    with reader.open(item.path, Sampling()) as stream:
        sample = next(iter(stream), None)
    if sample is None:
        raise MediaError("the picture could not be decoded")
    return sample.pixels.copy()


def squares_of(picture: Picture, view: str, faces: FaceDetector | None) -> tuple[Square, ...]:
    """The middle square of a face crop; of a scene the canonical square of each sure face, most confident first.

    A face whose square overlaps one that is taken already is left as it is, so that each pixel has one budget.
    """
    height, width = picture.shape[:2]
    if view == "face":
        side = min(height, width)
        return (Square((width - side) // 2, (height - side) // 2, side),)
    if faces is None:
        raise ValueError("a scene needs a face detector")
    taken: list[Square] = []
    for face in detect_in_stills(faces, [picture])[0]:
        if face.confidence < faces.min_confidence:
            continue
        try:
            square = Square(*place_square(height, width, *canonical_square(face.landmarks)))
        except ValueError:  # mostly outside the picture, or a handful of pixels: a scan does not score it either
            continue
        if not any(square.overlaps(other) for other in taken):
            taken.append(square)
    return tuple(taken)


def large_enough(prepared: Sequence[Prepared], attack: Attack) -> list[Prepared]:
    """What an attack can change: for a patch those with a square that can hold it, others with the outcome `too_small`."""
    if attack.kind.norm != "area":
        return list(prepared)
    found = []
    for one in prepared:
        squares = tuple(s for s in one.squares if side_px(s.side, s.side, attack.epsilon) >= MIN_SIDE_PX)
        if squares:
            found.append(replace(one, squares=squares))
        else:
            found.append(replace(one, squares=(), outcome=Outcome.TOO_SMALL, message="too small for the patch"))
    return found


def chunks(areas: Sequence[int], size: int, max_area: int) -> list[range]:
    """0..n-1 in runs of at most `size`, and of at most `max_area` in sum unless one alone is larger."""
    edges, area = [0], 0
    for place, own in enumerate(areas):
        if place > edges[-1] and (place - edges[-1] == size or area + own > max_area):
            edges.append(place)
            area = 0
        area += own
    return [range(start, end) for start, end in pairwise([*edges, len(areas)]) if end > start]


def _is_video(item: Item) -> bool:
    try:
        with item.path.open("rb") as file:
            return sniff(file.read(HEAD_BYTES)).kind == "video"
    except (OSError, MediaError):
        return False
