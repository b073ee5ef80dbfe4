"""From a generator or its samples, and real pictures, to the figures of `forensics generate quality`.

Reals are the rows with label 0 of the split `dev` unless another is asked for, cut and resized as the training pictures
were. Training pictures, where they are known, give the floor (what reals of one kind are apart by chance and by split)
and what copies are looked for among.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from forensics.common.errors import ManifestError, MediaError, UsageError
from forensics.common.files import write_atomic
from forensics.common.progress import Progress
from generators.checkpoint import BEST, CHECKPOINTS, LoadedGenerator, find_model, load_generator
from generators.data.pictures import DataRequest, Pictures, load_pictures
from generators.data.request import NO_CLASSES
from generators.data.rows import choose_rows
from generators.data.squares import read_whole
from generators.devices import device_named
from generators.drawing import draw_pictures
from generators.monitor.grid import tile
from generators.pictures import write_png
from generators.quality import results as parts
from generators.quality.extractors import Extractor, Features, PixelExtractor, extractor_named
from generators.quality.metrics import MIN_PICTURES, fid, kid, precision_recall
from generators.quality.neighbours import Nearest, memorisation, mirrored, most_suspicious, nearest
from generators.quality.probe import choose, features_of
from generators.quality.results import QualityResults
from generators.quality_config import DEFAULT_SAMPLES, QualityConfig
from generators.run_folder import read_run

RESULTS, SHEET, CACHE = "results.json", "neighbours.png", "cache"
# Copies are also looked for in pixels: features may take a mirrored or recoloured copy for one, and miss a noisy one.
COPY_PX = 32
SHEET_ROWS = 16
READ_BATCH = 64


@dataclass(frozen=True, eq=False)
class Fakes:
    """Samples to be measured: `batches()` gives all in order, `at(indices)` some of them; both uint8 (B, px, px, 3)."""

    part: parts.FakePart
    px: int
    view: str
    batches: Callable[[], Iterator[NDArray[np.uint8]]]
    at: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    trained_on: DataRequest | None


def measure(spec: str, config: QualityConfig, progress: Progress) -> QualityResults:
    """Measure a sample folder, a run, a checkpoint or a shipped generator; write what was asked for.

    Raises UsageError, ManifestError or WeightsError for what cannot be measured.
    """
    if config.output is not None:
        _claim(config.output, config.overwrite)
    device = device_named(config.device)
    with ExitStack() as stack:
        cache = (
            config.output / CACHE
            if config.output is not None
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forensics-quality-")))
        )
        fakes = _fakes(spec, config, device, cache, progress)
        real = _load(config.data, config.split, config, fakes, cache, progress)
        train, train_request = _training_pictures(config, fakes, real, cache, progress)
        extractor = extractor_named(config.extractor, config.inception_weights, device, progress)
        results, sheet = _measured(fakes, real, train, train_request, extractor, config, device, cache, progress)
    if config.output is not None:
        if sheet is not None:
            write_png(config.output / SHEET, sheet)
        write_atomic(config.output / RESULTS, results.model_dump_json(indent=1) + "\n")
    return results


def _measured(
    fakes: Fakes, real: Pictures, train: Pictures | None, train_request: DataRequest | None, extractor: Extractor,
    config: QualityConfig, device: torch.device, cache: Path, progress: Progress,
) -> tuple[QualityResults, NDArray[np.uint8] | None]:  # fmt: skip
    """The figures, and the sheet of the samples nearest to training pictures."""
    small = PixelExtractor(COPY_PX)
    of_fakes, small_of_fakes = _features_of_fakes(fakes, extractor, small, progress)
    of_reals = features_of(real, np.arange(len(real)), extractor, cache, progress)
    n_fake, n_real, n_both = len(of_fakes), len(of_reals), min(len(of_fakes), len(of_reals))
    with progress.task("kid, fid, precision and recall", None):
        kid_found, fid_found = kid(of_fakes, of_reals, config.seed), fid(of_fakes, of_reals, config.seed)
        # Balls shrink with the number of pictures: sets of one size, or the larger one wins.
        precision, recall = precision_recall(
            of_fakes[choose(n_fake, n_both, config.seed)], of_reals[choose(n_real, n_both, config.seed)]
        )
    floor_kid, floor_fid, copies, sheet = None, None, [], None
    if train is not None:
        of_train = features_of(train, np.arange(len(train)), extractor, cache, progress)
        like_fakes = of_train[choose(len(of_train), n_fake, config.seed)]
        with progress.task("the floor", None):
            if len(like_fakes) >= MIN_PICTURES:
                floor_kid = parts.figure(kid(like_fakes, of_reals, config.seed), len(like_fakes), n_real)
            if len(like_fakes) == n_fake:  # a FID of another number of pictures is another figure
                floor_fid = parts.figure(fid(like_fakes, of_reals, config.seed), n_fake, n_real)
        spaces: list[tuple[str, Features, Features, Features, Features | None]]
        spaces = [] if extractor.name == "pixels" else [(extractor.name, of_fakes, of_reals, of_train, None)]
        small_of_reals = features_of(real, np.arange(len(real)), small, cache, progress)
        small_of_train = features_of(train, np.arange(len(train)), small, cache, progress)
        # Training mirrors pictures by default: a copy of a mirrored one is a copy.
        flipped = mirrored(small_of_train, COPY_PX)
        spaces.append((f"pixels at {COPY_PX} px", small_of_fakes, small_of_reals, small_of_train, flipped))
        found = {}
        with progress.task("looking for copies", None):
            for space, fake_rows, real_rows, train_rows, mirror in spaces:
                found[space] = nearest(fake_rows, train_rows, mirror=mirror)
                of_held_out = nearest(real_rows, train_rows, mirror=mirror)
                copies.append(parts.memorisation_part(space, memorisation(found[space], of_held_out)))
        sheet = _sheet(fakes, train, found[spaces[0][0]])
    train_part = None if train is None or train_request is None else _part(train, train_request, None)
    seen = None if train is None else len(set(real.digests) & set(train.digests))
    request = _request(config.data, config.split, config, fakes)
    results = QualityResults(
        versions=parts.library_versions(),
        device=device.type,
        seed=config.seed,
        image_px=fakes.px,
        view=fakes.view,
        extractor=parts.ExtractorPart(name=extractor.name, sha256=extractor.sha256, input_px=extractor.input_px),
        fake=fakes.part,
        real=_part(real, request, seen),
        train=train_part,
        kid=parts.figure(kid_found, n_fake, n_real),
        fid=parts.figure(fid_found, n_fake, n_real),
        precision=parts.figure(precision, n_both, n_both),
        recall=parts.figure(recall, n_both, n_both),
        floor_kid=floor_kid,
        floor_fid=floor_fid,
        memorisation=tuple(copies),
        notes=parts.notes_of(extractor.name, n_fake, n_real, train_part, seen, config.reals),
    )
    return results, sheet


def _features_of_fakes(
    fakes: Fakes, extractor: Extractor, small: PixelExtractor, progress: Progress
) -> tuple[Features, Features]:
    """By both extractors in one pass, so that a model draws once and no picture is kept."""
    reduced: list[Features] = []
    with progress.task(f"features of samples by {extractor.name}", fakes.part.n) as bar:

        def passing() -> Iterator[NDArray[np.uint8]]:
            for batch in fakes.batches():
                reduced.append(small.features([batch]))
                yield batch
                bar(len(batch))

        found = extractor.features(passing())
    return found, np.concatenate(reduced)


# -- what is measured


def _fakes(spec: str, config: QualityConfig, device: torch.device, cache: Path, progress: Progress) -> Fakes:
    path = Path(spec)
    is_run = path.is_dir() and ((path / BEST).is_file() or (path / CHECKPOINTS).is_dir())
    if path.suffix.lower() == ".csv" or (path.is_dir() and not is_run):
        return _fakes_of_files(path, config, cache, progress)
    file = find_model(spec)
    run = read_run(path) if is_run else None
    return _fakes_of_model(load_generator(file, device), spec, config, run.request if run is not None else None)


def _fakes_of_model(loaded: LoadedGenerator, spec: str, config: QualityConfig, trained_on: DataRequest | None) -> Fakes:
    n, seed = config.samples or DEFAULT_SAMPLES, config.seed

    def at(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        drawn = [batch for i in indices for batch in draw_pictures(loaded, 1, seed, start=int(i))]
        return np.concatenate(drawn)

    part = parts.FakePart(
        kind="model", given=spec, n=n, system=loaded.system.name, checkpoint=loaded.sha256, step=loaded.step, seed=seed
    )
    return Fakes(part, loaded.config.image_px, loaded.view, lambda: draw_pictures(loaded, n, seed), at, trained_on)


def _fakes_of_files(path: Path, config: QualityConfig, cache: Path, progress: Progress) -> Fakes:
    request = DataRequest(data=(path,), label="1", split="any", limit=config.samples)
    px = _side_of_first(request)
    pictures = load_pictures(request, px, cache / "samples", progress)
    generators = sorted({item.generator for item in pictures.items if item.generator})
    checkpoints = sorted({item.extra.get("checkpoint", "") for item in pictures.items} - {""})
    part = parts.FakePart(
        kind="samples",
        given=str(path),
        n=len(pictures),
        system=", ".join(generators),
        checkpoint=", ".join(checkpoints),
        sha256=pictures.sha256,
    )

    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(pictures), READ_BATCH):
            yield pictures.batch(np.arange(start, min(start + READ_BATCH, len(pictures))))

    return Fakes(part, px, pictures.view, batches, pictures.batch, None)


def _side_of_first(request: DataRequest) -> int:
    """The shorter side of the first sample that can be read: what all pictures are brought to."""
    for row in choose_rows(request, Progress(quiet=True)):
        try:
            return int(min(read_whole(row.item.path).shape[:2]))
        except MediaError:
            continue  # counted and named when all are loaded
    raise ManifestError(f"no sample of {request.data[0]} can be read", "check the paths in the manifest")


# -- what it is measured against


def _request(data: tuple[str, ...], split: str, config: QualityConfig, fakes: Fakes) -> DataRequest:
    paths = tuple(Path(name) for name in data)
    return DataRequest.model_validate(
        {"data": paths, "label": "0", "split": split, "faces": fakes.view == "face", "limit": config.reals}
    )


def _load(
    data: tuple[str, ...], split: str, config: QualityConfig, fakes: Fakes, cache: Path, progress: Progress
) -> Pictures:
    if not data:
        raise UsageError("--data is missing", "a manifest or folder of real pictures to compare with")
    pictures = load_pictures(_request(data, split, config, fakes), fakes.px, cache / split, progress)
    if pictures.view != fakes.view:
        progress.say(
            f"the samples are of view {fakes.view}, the reals of view {pictures.view}: KID sees the difference"
        )
    return pictures


def _training_pictures(
    config: QualityConfig, fakes: Fakes, real: Pictures, cache: Path, progress: Progress
) -> tuple[Pictures | None, DataRequest | None]:
    """What the generator learned from: as given, as the run says, or the split train of the reals' data."""
    if config.train_data:
        request = _request(config.train_data, "train", config, fakes)
        return load_pictures(request, fakes.px, cache / "train", progress), request
    if fakes.trained_on is not None:
        limit = (
            fakes.trained_on.limit or config.reals
        )  # the run's own choice, if it made one: another draws other pictures
        request = fakes.trained_on.model_copy(update={"limit": limit, "class_by": NO_CLASSES})
    elif config.split != "train":
        request = _request(config.data, "train", config, fakes)
    else:
        return None, None
    try:
        train = load_pictures(request, fakes.px, cache / "train", progress)
    except (ManifestError, UsageError) as error:
        progress.say(f"no training pictures: {error.message}")
        return None, None
    if set(real.digests) <= set(train.digests):
        progress.say("the reals are the training pictures, or among them: neither a floor nor copies can be measured")
        return None, None
    return train, request


def _part(pictures: Pictures, request: DataRequest, seen: int | None) -> parts.DataPart:
    return parts.DataPart(
        data=tuple(map(str, request.data)),
        split=request.split,
        n=len(pictures),
        sha256=pictures.sha256,
        missed=pictures.missed,
        seen_in_training=seen,
    )


def _sheet(fakes: Fakes, train: Pictures, found: Nearest) -> NDArray[np.uint8]:
    """One row for each of the samples nearest to a training picture: the sample, then its nearest, nearest first."""
    worst = most_suspicious(found, SHEET_ROWS)
    samples = fakes.at(worst)
    rows = [np.concatenate([samples[k][None], train.batch(found.indices[i])]) for k, i in enumerate(worst)]
    return tile(np.concatenate(rows), 1 + found.indices.shape[1])


def _claim(folder: Path, overwrite: bool) -> None:
    """Raises UsageError for a folder that holds files which no earlier measurement wrote."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file", "name a folder")
    if overwrite or not folder.is_dir():
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name != CACHE)
    if not foreign:
        return
    try:
        QualityResults.model_validate_json((folder / RESULTS).read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{folder} holds files that are not of a measurement ({foreign[0]} ...)",
            "choose another --output, or --overwrite",
        ) from error
