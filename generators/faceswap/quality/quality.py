"""Measure a run of `faceswap train`: its two people's faces, and a converted clip; writes quality.json and quality.md."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from forensics.common.progress import Progress
from forensics.common.text import printable
from generators.devices import device_named
from generators.faceswap.extraction.faceset import FaceSet, read_face_set
from generators.faceswap.extraction.tracks import load_face_detector
from generators.faceswap.measures import seconds_covered
from generators.faceswap.quality.clip_quality import measure_clips
from generators.faceswap.quality.face_quality import identities_of, measure_swap, person_of
from generators.faceswap.quality.identity import NOT_MEASURED, embedder_named
from generators.faceswap.quality.quality_record import (
    CLIP_FRAMES,
    FEW_SECONDS,
    FORMAT,
    IDENTITY_FRAMES,
    NO_HELD_OUT_FRAME,
    RESULTS,
    SAME_SECONDS,
    TABLE,
    ClipPart,
    SwapQuality,
    SwapQualityConfig,
    identity_note,
    markdown,
)
from generators.faceswap.training.run_record import SwapRun, read_swap_run
from generators.faceswap.training.swapper import find_swap, load_swapper
from generators.parallel import set_threads
from generators.run_folder import versions

PEOPLE = ("source", "target")
MAX_RESULTS_BYTES = 1 << 22


def measure_run(run: str, config: SwapQualityConfig, progress: Progress) -> SwapQuality:
    """Measure a run, or a checkpoint with the sets of its two people; writes quality.json and quality.md.

    Raises UsageError and ManifestError where sets or checkpoint are not there, MediaError for clips that cannot be read.
    """
    if (config.clip is None) != (config.driving is None):
        raise UsageError("--clip and --driving belong together", "the swapped clip, and the one that it was made from")
    folder, stored = _output(run, config), _record_of(Path(run))
    set_threads(config.threads)
    device = device_named(config.device)
    swapper = load_swapper(find_swap(run), device)
    trained_on = {who: read_face_set(_folder(who, config, stored)) for who in PEOPLE}
    notes = list(_set_notes(trained_on, _fingerprints(swapper.meta, stored)))
    _claim(folder, Path(run))
    # Whose face is worn, and by whom: reversed, the network's "source" is the one who wears.
    wearing = dict(zip(PEOPLE, reversed(PEOPLE) if config.reverse else PEOPLE, strict=True))
    sets = {who: trained_on[wearing[who]] for who in PEOPLE}
    source, target = (person_of(sets[who], config.faces, who) for who in PEOPLE)
    embedder = embedder_named(config.identity)
    if embedder is None:
        notes.append("identity not measured: --identity none" if config.identity == "none" else NOT_MEASURED)
    identities = identities_of(embedder, source.train, target.train) if embedder else None
    detector = load_face_detector(device=device.type if device.type != "mps" else "cpu")
    found = measure_swap(swapper, source, target, identities, detector, config.seed, progress, config.reverse)
    clip = None
    if config.clip is not None and config.driving is not None:
        clip = measure_clips(
            config.driving, config.clip, detector, progress,
            identities=identities, target=sets["target"], track=config.track, limit=config.faces,
            seed=config.seed,
        )  # fmt: skip
    seconds = min(seconds_covered(person.blocks, len(person.held_out)) for person in (source, target))
    if seconds < FEW_SECONDS:
        notes.append(f"held out: {seconds:.0f} s; {SAME_SECONDS}")
    said = [
        identity_note(found.identity, "held-out faces"),
        *(_clip_notes(clip, identities is not None) if clip else ()),
    ]
    result = SwapQuality(
        versions=versions(),
        model=printable(Path(run).name),
        model_sha256=swapper.sha256,
        image_px=swapper.image_px,
        device=device.type,
        seed=config.seed,
        is_reversed=config.reverse,
        source=printable(sets["source"].folder.name),
        source_sha256=sets["source"].sha256,
        target=printable(sets["target"].folder.name),
        target_sha256=sets["target"].sha256,
        embedding=embedder.name if embedder else None,
        landmark_detector=detector.name,
        reconstruction=found.reconstruction,
        identity=found.identity,
        landmarks=found.landmarks,
        clip=clip,
        notes=(*notes, *(words for words in said if words)),
    )
    try:
        write_atomic(folder / RESULTS, result.model_dump_json(indent=1) + "\n")
        write_atomic(folder / TABLE, markdown(result))
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}", "use another --output") from error
    return result


def _clip_notes(clip: ClipPart, is_identity_measured: bool) -> Iterator[str | None]:
    yield CLIP_FRAMES
    if is_identity_measured and not clip.identity:
        yield NO_HELD_OUT_FRAME
    yield identity_note(clip.identity, IDENTITY_FRAMES[clip.identity_frames])


def _output(run: str, config: SwapQualityConfig) -> Path:
    if config.output is not None:
        return config.output
    if not Path(run).is_dir():
        raise UsageError(f"{run} is not the folder of a run", "--output DIR for quality.json and quality.md")
    return Path(run)


def _claim(folder: Path, run: Path) -> None:
    """Make the folder, before minutes of measuring. Raises UsageError where it cannot be written, or holds results that
    are not ours.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}", "use another --output: a folder") from error
    if run.is_dir() and folder.resolve() == run.resolve():
        return
    foreign = [name for name in (RESULTS, TABLE) if (folder / name).exists()]
    if foreign and not _is_ours(folder / RESULTS):
        raise UsageError(f"{folder} holds a {foreign[0]} of something else", "use another --output")


def _is_ours(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > MAX_RESULTS_BYTES:
            return False
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(stored, dict) and str(stored.get("format", "")).startswith(FORMAT)


def _record_of(run: Path) -> SwapRun | None:
    return read_swap_run(run) if run.is_dir() else None


def _folder(who: str, config: SwapQualityConfig, stored: SwapRun | None) -> Path:
    given: Path | None = getattr(config, who)
    if given is not None:
        return given
    if stored is None:
        raise UsageError(
            f"which faces are the {who}'s?", f"--{who} DIR: the folder of `forensics generate faceswap extract`"
        )
    return Path(getattr(stored, who).folder)


def _fingerprints(meta: Mapping[str, Any], stored: SwapRun | None) -> dict[str, str]:
    """Of the sets that were trained on, as far as the checkpoint, or the run's record, says."""
    people = meta.get("people")
    found = {who: getattr(stored, who).sha256 for who in PEOPLE} if stored else {}
    for who in PEOPLE:
        one = people.get(who) if isinstance(people, dict) else None
        if isinstance(one, dict) and isinstance(one.get("sha256"), str):
            found[who] = one["sha256"]
    return found


def _set_notes(sets: Mapping[str, FaceSet], fingerprints: Mapping[str, str]) -> Iterator[str]:
    for who, face_set in sets.items():
        if who not in fingerprints:
            yield f"whether the {who}'s held-out faces were trained on is not known: the checkpoint does not say"
        elif fingerprints[who] != face_set.sha256:
            yield f"the {who}'s set is not the one that was trained on: held-out faces of it may have been trained on"
