"""The classical analyses of one file: a file goes in, findings come out.

    hash -> facts (child process) -> pixels or frames (child process) -> analyses -> record, maps

Reads top to bottom. Nothing here opens media or measures by itself: each line calls the room that does. Many files:
`forensics.inspection_batch`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import torch

from forensics.analysis.catalogue import analyses, chosen, needed
from forensics.analysis.observation import observe
from forensics.analysis.protocol import Analysis, Clip, File, Needs, Picture, Rgb
from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_text
from forensics.common.text import printable
from forensics.config import InspectConfig, options_hash
from forensics.detectors.devices import resolve_device
from forensics.evidence_recording import Shown, as_stored, finding_part, make_evidence_record
from forensics.faces.choice import load_face_detector
from forensics.faces.types import FaceDetector
from forensics.media.facts import read_facts
from forensics.media.facts_types import FileFacts, Provenance
from forensics.media.provenance import can_validate, library_version, read_provenance
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sampling
from forensics.recording import hash_or_none, media_part
from forensics.report.evidence import EvidenceRecord
from forensics.report.findings import FindingPart, NotRunPart
from forensics.report.pictures import reduce_picture
from forensics.report.record import ClockPart, MediaPart

# A preview is compared with its picture at about the size of previews.
SHOWN_PX = 256
# Its manifests are read for this analysis alone.
C2PA = "c2pa"
# Faces in web video are rarely larger than 200 pixels at this size, and 300 full frames of 1080p would cost minutes.
CLIP_SIDE_PX = 640
WHY_NOT_ASKED = "not asked for (--only, --skip)"
WHY_OTHER_KIND = {
    "picture": "it looks at a still picture",
    "clip": "it looks at a clip's frames",
    "file": "what the file says beside its pixels could not be read",
}


@dataclass(frozen=True)
class InspectionResult:
    """The record of one input, and the pictures that go with it by file name."""

    record: EvidenceRecord
    pictures: dict[str, bytes]


@dataclass(eq=False)
class Looked:
    """What was found out about one file on the way."""

    path: Path
    shown_path: str
    sha256: str | None
    facts: FileFacts | None = None
    thumbnail: Rgb | None = None
    provenance: Provenance | None = None
    no_provenance: str = ""
    media: MediaPart | None = None
    picture: Picture | None = None
    reduced: Rgb | None = None  # the same, for what compares previews with it
    clip: Clip | None = None
    not_run: list[NotRunPart] = field(default_factory=list)
    error: MediaError | None = None


class Inspector:
    """Holds what is loaded once: the face detector, the decoding child. Use as a context manager."""

    def __init__(self, config: InspectConfig) -> None:
        self.config = config
        self.analyses = chosen(config.only, config.skip)
        self._needed = needed(self.analyses)
        if config.threads:
            torch.set_num_threads(config.threads)
            cv2.setNumThreads(config.threads)
        self.device = resolve_device(config.device)
        self.options = config.analysis_options()
        self.options_sha256 = options_hash(self.options)
        self._faces: FaceDetector | None = None
        limits = MediaLimits(config.max_pixels, config.timeout, int(config.max_memory_gb * (1 << 30)))
        if config.face_detector != "mtcnn" and "clip" in self._needed:
            self._face_detector()  # a model that does not fit is told now, and not at the first clip
        self._reader = MediaReader(limits, config.threads)
        self._reader.warm_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that this holds."""
        self._reader.close()

    def inspect(
        self,
        path: Path,
        shown_path: str | None = None,
        stem: str = "input",
        on_step: Callable[[str], None] = lambda _text: None,
        sha256: str | None = None,
    ) -> InspectionResult:
        """All chosen analyses of one file. Never raises for what the file is or does: that is its outcome.

        stem: of the files of its maps. `on_step` is told what is being done; `sha256` is the file's, where the caller
        has just computed it.
        """
        started, t0 = datetime.now(UTC), time.monotonic()
        stages: dict[str, float] = defaultdict(float)
        looked = Looked(path, shown_path or str(path), sha256 or hash_or_none(path))
        try:
            with _timed(stages, "reading"):
                on_step("reading the file")
                looked.facts, looked.thumbnail = read_facts(self._reader, path)
                self._read_provenance(looked)
            with _timed(stages, "decoding"):
                on_step("decoding")
                self._decode(looked, on_step)
        except MediaError as error:
            looked.error = error
        # What was read before an error is examined all the same: boxes and tags of a clip whose frames cannot be decoded.
        pictures: dict[str, bytes] = {}
        parts: list[FindingPart] = []
        shown = self._shown(looked)
        for analysis in self.analyses:
            on_step(analysis.title)
            with _timed(stages, analysis.name):
                found = self._run(analysis, looked, shown, stem, pictures)
            if isinstance(found, FindingPart):
                parts.append(found)
            else:
                looked.not_run.append(NotRunPart(analysis=analysis.name, title=analysis.title, why=found))
        clock = ClockPart(
            started_utc=started.isoformat(timespec="seconds"),
            finished_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            wall_s=round(time.monotonic() - t0, 3),
            stages_s={name: round(seconds, 3) for name, seconds in stages.items()},
        )
        record = make_evidence_record(
            path=path,
            shown_path=looked.shown_path,
            sha256=looked.sha256,
            error=looked.error,
            media=looked.media,
            tags=looked.facts.tags if looked.facts else {},
            findings=parts,
            not_run=[*looked.not_run, *self._not_asked()],
            config=self.config,
            options=self.options,
            device=str(self.device),
            clock=clock,
        )
        return InspectionResult(record, pictures)

    def _read_provenance(self, looked: Looked) -> None:
        """Fill `provenance` where the file holds a manifest, or say why not."""
        is_asked_for = any(analysis.name == C2PA for analysis in self.analyses)
        if not is_asked_for or looked.facts is None or not looked.facts.c2pa_bytes:
            return
        if not can_validate():
            looked.no_provenance = "the extra `c2pa` is not installed (pip install 'deepfake-forensics[c2pa]')"
            return
        try:
            looked.provenance = read_provenance(self._reader, looked.path)
        except MediaError as error:
            looked.no_provenance = printable(error.message)

    def _decode(self, looked: Looked, on_step: Callable[[str], None]) -> None:
        """Fill `media`, and the picture or the clip. Raises MediaError where nothing can be decoded."""
        looks_at_frames = "clip" in self._needed
        every = Sampling(max_frames=self.config.max_frames, every_frame=True, max_side_px=CLIP_SIDE_PX)
        with self._reader.open(looked.path, every if looks_at_frames else Sampling(max_frames=1)) as stream:
            if stream.info.kind == "image":
                sample = next(iter(stream))
                for _ in stream:  # the end, with its summary
                    pass
                looked.media = media_part(stream, looked.path, analysed=1)
                orientation = looked.facts.orientation if looked.facts else 1
                pixels = as_stored(sample.pixels, orientation)
                looked.picture = Picture(pixels, looked.facts.jpeg if looked.facts else None)
                looked.reduced = reduce_picture(pixels, SHOWN_PX)
                return
            breakdown = ""
            counted = 0

            def samples() -> Iterator[Any]:
                nonlocal breakdown, counted
                try:
                    for sample in stream:
                        counted += 1
                        if counted % 25 == 0:
                            on_step(f"{looked.path.name[:20]} · {counted} frames")
                        yield sample
                except MediaError as error:
                    if not counted:
                        raise
                    breakdown = error.message

            if looks_at_frames:
                looked.clip = observe(samples(), self._face_detector(), stream.info.duration_s)
            else:
                for _ in samples():
                    pass
            looked.media = media_part(stream, looked.path, analysed=counted, breakdown=breakdown)

    def _run(
        self, analysis: Analysis[Any], looked: Looked, shown: Shown | None, stem: str, pictures: dict[str, bytes]
    ) -> FindingPart | str:
        """A finding, with its maps in `pictures`, or why there is none. An analysis that fails costs itself alone."""
        subject = _subject(analysis.needs, looked)
        if subject is None:
            is_unread = looked.error is not None and (analysis.needs == "file" or looked.media is None)
            return printable(looked.error.message) if looked.error and is_unread else WHY_OTHER_KIND[analysis.needs]
        try:
            return finding_part(analysis, analysis.examine(subject), shown, stem, pictures)
        except Exception as error:  # noqa: BLE001  (a fault of ours that a file brought out)
            return f"it failed: {type(error).__name__}: {printable(' '.join(str(error).split())[:160])}"

    def _not_asked(self) -> list[NotRunPart]:
        names = {analysis.name for analysis in self.analyses}
        return [
            NotRunPart(analysis=analysis.name, title=analysis.title, why=WHY_NOT_ASKED)
            for analysis in analyses()
            if analysis.name not in names
        ]

    def _shown(self, looked: Looked) -> Shown | None:
        """What maps are laid over: the picture as stored, and how to turn it upright."""
        if looked.picture is None:
            return None
        return Shown(looked.picture.pixels, looked.facts.orientation if looked.facts else 1)

    def _face_detector(self) -> FaceDetector:
        if self._faces is None:
            config = self.config
            self._faces = load_face_detector(config.face_detector, config.face_model, self.device)
        return self._faces


def analyses_version() -> str:
    """What decides findings beside the options: which analyses there are, and the library that validates manifests."""
    return sha256_of_text(f"inspection {' '.join(analysis.name for analysis in analyses())} {library_version()}")


def _subject(needs: Needs, looked: Looked) -> Picture | Clip | File | None:
    if needs == "picture":
        return looked.picture
    if needs == "clip":
        return looked.clip
    if looked.facts is None:
        return None
    name = printable(looked.path.name)
    return File(looked.facts, name, looked.thumbnail, looked.reduced, looked.provenance, looked.no_provenance)


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        stages[name] += time.monotonic() - started
