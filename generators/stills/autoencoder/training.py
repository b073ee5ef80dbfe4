"""From manifests to a trained autoencoder: what `stills train-autoencoder` does, readable top to bottom."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.faces.types import FaceDetector
from generators.parallel import Processes, asked_precision, set_threads
from generators.run_folder import claim, unchanged, versions
from generators.stills.autoencoder.config import MAY_CHANGE, AutoencoderConfig
from generators.stills.autoencoder.redrawer import square_of
from generators.stills.autoencoder.run_record import AutoencoderRun, read_autoencoder_run, write_autoencoder_run
from generators.stills.autoencoder.trainer import AutoencoderTrainer
from generators.stills.located import Still, locate, read_still, real_rows

CACHE = "cache"
# Fewer faces are learnt by heart.
MIN_FACES = 16
HELD_OUT_SHARE, MOST_HELD_OUT = 0.05, 64
HELD_OUT_STREAM = 0xAE0C


def train(
    data: Sequence[Path],
    preset: str,
    config: AutoencoderConfig,
    folder: Path,
    detector: FaceDetector,
    progress: Progress,
    overwrite: bool = False,
) -> AutoencoderTrainer:
    """Begin a run on the reals of split `train`, or go on with the one in the folder.

    Raises UsageError for one begun with other options or faces, and for fewer faces than can be learnt from.
    """
    claim(folder, overwrite)
    stored = read_autoencoder_run(folder)
    if stored is not None:
        config = unchanged(stored.config, config, MAY_CHANGE, {"precision": "auto"}, "give the options as they were")
    set_threads(config.threads)
    processes = Processes(config.device)
    try:
        if processes.count > 1:
            raise UsageError("this network is trained by one process", "start it without a launcher")
        items = real_rows(data, "train", config.limit, progress)
        located = locate(items, folder / CACHE, detector, config.max_side, config.min_face_px, progress)
        faces = _faces(located.stills, config, progress)
        if len(faces) < MIN_FACES:
            raise UsageError(f"{len(faces)} faces are fewer than {MIN_FACES}", "more reals of split train, by --data")
        order = rng_for(config.seed, HELD_OUT_STREAM).permutation(len(faces))
        n_held_out = min(MOST_HELD_OUT, int(HELD_OUT_SHARE * len(faces)))
        run = AutoencoderRun(
            preset=stored.preset if stored else preset,
            config=config,
            precision=stored.precision if stored else asked_precision(config.precision, processes.device),
            device=processes.device.type,
            data=tuple(path.as_posix() for path in data),
            faces=len(faces) - n_held_out,
            held_out=n_held_out,
            sha256=hashlib.sha256(faces.tobytes()).hexdigest(),
            versions=versions(),
        )
        if stored is not None and stored.sha256 != run.sha256:
            raise UsageError("the run was begun with other faces", "another --output, or the data as they were")
        held_out, trained = faces[np.sort(order[:n_held_out])], faces[np.sort(order[n_held_out:])]
        trainer = AutoencoderTrainer(run, trained, held_out, folder, processes, progress)
        write_autoencoder_run(folder, run)
        trainer.train()
        return trainer
    finally:
        processes.close()


def _faces(stills: Sequence[Still], config: AutoencoderConfig, progress: Progress) -> NDArray[np.uint8]:
    """Aligned faces (N, P, P, 3)."""
    faces = np.empty((len(stills), config.image_px, config.image_px, 3), np.uint8)
    with progress.task("cutting faces", len(stills)) as bar:
        for place, still in zip(faces, stills, strict=True):
            place[:] = square_of(read_still(still.item.path, config.max_side), still.landmarks, config.image_px)
            bar(1)
    return faces
