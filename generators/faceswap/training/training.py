"""From two sets of faces to a trained swap: what `faceswap train` does, readable top to bottom."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError, UsageError
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.faces.mean_shape import face_hull, place_mean_shape
from generators.faceswap.alignment import ALIGNED_PX
from generators.faceswap.config import MAY_CHANGE, SwapConfig
from generators.faceswap.extraction.faceset import EXTRACT_AGAIN, FaceSet, read_face_set
from generators.faceswap.masks import hull_mask
from generators.faceswap.training.run_record import SetRecord, SwapRun, read_swap_run, write_swap_run
from generators.faceswap.training.trainer import SwapTrainer
from generators.faceswap.training.warp_pairs import Faces, prepared
from generators.parallel import Processes, asked_precision, set_threads
from generators.run_folder import claim, unchanged, versions

# A decoder that has seen fewer faces knows a few pictures, not a person.
MIN_FACES = 10
RESUMING = "`forensics generate resume` to go on as it was begun"


def train(
    source: Path,
    target: Path,
    preset: str,
    config: SwapConfig,
    folder: Path,
    progress: Progress,
    overwrite: bool = False,
) -> SwapTrainer:
    """Begin a run, or go on with the one in the folder. Raises UsageError for one begun with other options or faces."""
    sets = _read(source, "source"), _read(target, "target")
    if sets[0].sha256 == sets[1].sha256:
        raise UsageError("--source and --target are the same faces", "a swap is of two people")
    claim(folder, overwrite)
    stored = read_swap_run(folder)
    if stored is not None:
        config = unchanged(stored.config, config, MAY_CHANGE, {"precision": "auto"}, RESUMING)
    set_threads(config.threads)
    processes = Processes(config.device)
    try:
        processes.share(config.batch_size)
        progress = progress if processes.is_main else Progress(quiet=True)
        run = SwapRun(
            preset=stored.preset if stored else preset,
            config=config,
            precision=stored.precision if stored else asked_precision(config.precision, processes.device),
            processes=processes.count,
            device=processes.device.type,
            source=_record(sets[0]),
            target=_record(sets[1]),
            versions=versions(),
        )
        _check_sets(stored, run)
        for who, face_set in zip(("source", "target"), sets, strict=True):
            if not face_set.of("held_out"):
                progress.say(
                    f"the {who}'s set has no held-out faces: nothing is measured, previews show training faces"
                )
        with progress.task("reading faces", len(sets)) as bar:
            faces, held_out = [], []
            for face_set in sets:
                faces.append(_prepared(face_set, config.image_px))
                held_out.append(face_set.pictures("held_out"))
                bar(1)
        trainer = SwapTrainer(run, (faces[0], faces[1]), (held_out[0], held_out[1]), folder, processes, progress)
        if processes.is_main:
            write_swap_run(folder, run)
        trainer.train()
        return trainer
    finally:
        processes.close()


def resume(folder: Path, steps: int | None, progress: Progress) -> SwapTrainer:
    """Go on with a run as it was begun, to `steps` in all if given."""
    stored = read_swap_run(folder)
    if stored is None:
        raise UsageError(f"{folder} is not the folder of a face swap", "`forensics generate faceswap train` begins one")
    config = stored.config.model_copy(update={"steps": steps or stored.config.steps})
    source, target = Path(stored.source.folder), Path(stored.target.folder)
    for who, faces in (("source", source), ("target", target)):
        if not faces.is_dir():
            raise UsageError(
                f"the {who}'s faces are not at {printable(str(faces))} any more",
                "`forensics generate faceswap train --source DIR --target DIR --output RUN` goes on with them elsewhere",
            )
    return train(source, target, stored.preset, config, folder, progress)


def outlines(landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(N, 256, 256) uint8, 255 inside the face's outline, of aligned landmarks (N, 5, 2). Raises ValueError for landmarks
    that have none.
    """
    hulls = (face_hull(place_mean_shape(points)) for points in landmarks)
    return np.stack([(255 * hull_mask(hull, ALIGNED_PX, ALIGNED_PX)).astype(np.uint8) for hull in hulls])


def _read(folder: Path, who: str) -> FaceSet:
    try:
        str(folder.resolve()).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the path of --{who} is not UTF-8: {printable(str(folder.resolve()))}",
            "rename its folder: the record of a run could not be read again",
        ) from error
    found = read_face_set(folder)
    n = len(found.of("train"))
    if n < MIN_FACES:
        raise UsageError(
            f"--{who} {printable(str(folder))} has {n} faces to train on, fewer than {MIN_FACES}",
            "extract them from a longer clip, or with a smaller --min-face-px",
        )
    return found


def _prepared(face_set: FaceSet, image_px: int) -> Faces:
    masks = []
    for row, points in zip(face_set.of("train"), face_set.landmarks("train"), strict=True):
        try:
            masks.append(outlines(points[None]))
        except ValueError as error:
            raise ManifestError(f"{face_set.folder / str(row.file)}: its landmarks: {error}", EXTRACT_AGAIN) from error
    return prepared(face_set.pictures("train"), np.concatenate(masks), image_px)


def _record(face_set: FaceSet) -> SetRecord:
    return SetRecord(
        folder=str(face_set.folder.resolve()),
        clips=tuple(clip.name for clip in face_set.record.clips),
        faces=len(face_set.of("train")),
        held_out=len(face_set.of("held_out")),
        sha256=face_set.sha256,
    )


def _check_sets(stored: SwapRun | None, run: SwapRun) -> None:
    for who in ("source", "target"):
        now = getattr(run, who)
        before = getattr(stored, who) if stored else now
        if before.sha256 != now.sha256:
            raise UsageError(
                f"option '{who}': the run was begun with other faces ({before.faces}; now {now.faces})",
                "use another --output, or give the faces as they were",
            )
