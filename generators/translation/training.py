"""From a request to a trained translator: what `train-translator` and `resume` do, readable top to bottom."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError, MediaError, UsageError
from forensics.common.progress import Progress
from generators.data.pictures import Pictures, load_pictures, pictures_of
from generators.data.request import DataRequest
from generators.data.rows import choose_rows
from generators.data.squares import MIN_SIDE_PX, middle_of, read_whole, resized
from generators.data.survey import GB
from generators.parallel import Processes, asked_precision, set_threads
from generators.run_folder import DataRecord, claim, unchanged, versions
from generators.training import CACHE, data_record, resolved
from generators.translation.features import VggFeatures
from generators.translation.game import OWN_FEATURES
from generators.translation.pairs import Source
from generators.translation.run_record import (
    PairRequest,
    TranslationRun,
    read_translation_run,
    write_translation_run,
)
from generators.translation.trainer import TranslationTrainer
from generators.translation_config import MAY_CHANGE, TranslationConfig
from generators.translator import Translator, check_sizes, translator_named

# Of data without a split for it, every so many-th picture is held out, and at least so many are needed to train on.
HELD_OUT_EVERY, MIN_PICTURES = 20, 4
RESUMING = "`forensics generate resume` to go on as it was begun"


def train(
    translator: Translator, preset: str, config: TranslationConfig, request: DataRequest, pairs: PairRequest,
    folder: Path, progress: Progress, overwrite: bool = False,
) -> TranslationTrainer:  # fmt: skip
    """Begin a run, or go on with the one in the folder. Raises UsageError for one begun with other options or data."""
    request = request.model_copy(update={"data": tuple(resolved(path) for path in request.data)})
    check_pairs(translator, config, request, pairs)
    pairs = pairs.model_copy(
        update={
            name: resolved(path) for name in ("inputs", "vgg_weights") if (path := getattr(pairs, name)) is not None
        }
    )
    claim(folder, overwrite)
    stored = read_translation_run(folder)
    if stored is not None:
        if stored.system != translator.name:
            raise UsageError(f"the run is of {stored.system}, not of {translator.name}", "use another --output")
        config = unchanged(stored.config, config, MAY_CHANGE, {"precision": "auto"}, RESUMING)
    set_threads(config.threads)
    processes = Processes(config.device)
    try:
        processes.share(config.batch_size)
        check_sizes(translator, config)  # before hours of decoding
        progress = progress if processes.is_main else Progress(quiet=True)
        extractor = VggFeatures(pairs.vgg_weights).to(processes.device) if pairs.vgg_weights else None
        if not processes.is_main:
            processes.wait()  # the first process decodes; the others find its cache
        source, held_out = load_sources(request, pairs, config, folder / CACHE, progress)
        if processes.is_main:
            processes.wait()
        run = TranslationRun(
            system=translator.name,
            preset=stored.preset if stored else preset,
            config=config,
            precision=stored.precision if stored else asked_precision(config.precision, processes.device),
            processes=processes.count,
            device=processes.device.type,
            request=request,
            pairs=pairs,
            data=_record(source),
            held_out=len(held_out),
            perceptual=(extractor.name if extractor else OWN_FEATURES) if config.perceptual_weight else "",
            versions=versions(),
        )
        if stored is not None and stored.perceptual != run.perceptual:
            raise UsageError(
                f"the run was begun with likeness in the features of '{stored.perceptual}', not of '{run.perceptual}'",
                "give --vgg-weights as they were, or use another --output",
            )
        if stored is not None and stored.data.sha256 != run.data.sha256:
            raise UsageError(
                f"option 'data': the run was begun with other pictures ({stored.data.pictures}; now {run.data.pictures})",
                "use another --output, or give the data as they were",
            )
        if run.perceptual:
            progress.say(f"likeness in the features of: {run.perceptual}")
        if not len(held_out):
            progress.say("no picture is held out: nothing is measured, sheets show training pictures")
        trainer = TranslationTrainer(translator, run, source, held_out, folder, processes, progress, extractor)
        if processes.is_main:
            write_translation_run(folder, run)
        trainer.train()
        return trainer
    finally:
        processes.close()


def resume(folder: Path, steps: int | None, progress: Progress) -> TranslationTrainer:
    """Go on with a run as it was begun, to `steps` in all if given."""
    stored = read_translation_run(folder)
    if stored is None:
        raise UsageError(
            f"{folder} is not the folder of a translator", "`forensics generate train-translator` begins one"
        )
    config = stored.config.model_copy(update={"steps": steps or stored.config.steps})
    translator = translator_named(stored.system)
    return train(translator, stored.preset, config, stored.request, stored.pairs, folder, progress)


def check_pairs(translator: Translator, config: TranslationConfig, request: DataRequest, pairs: PairRequest) -> None:
    """Raises UsageError where it is not said, or said twice, what the inputs are."""
    ways = [
        name
        for name, is_given in (
            ("--inputs", pairs.inputs is not None), ("--halves", pairs.halves != "none"), ("--make", config.make != "none"),
        ) if is_given
    ]  # fmt: skip
    if pairs.vgg_weights and not config.perceptual_weight:
        raise UsageError("--vgg-weights without --perceptual-weight has no effect", "give a weight, such as 1")
    if request.faces and (pairs.inputs is not None or pairs.halves != "none"):
        raise UsageError("--faces cuts targets, not their inputs", "cut both beforehand")
    if translator.name == "restore" and config.task == "none":
        raise UsageError("restore needs --task", "denoise, deblock, dehaze or colourise")
    if translator.name == "srgan" and config.scale == 1:
        raise UsageError("srgan needs --scale", "2 or 4")
    if translator.pairing == "made" and ways:
        raise UsageError(f"option {ways[0]} means nothing to {translator.name}", "leave it out")
    if translator.pairing != "made" and len(ways) != 1:
        raise UsageError(
            f"{translator.name} needs one of --make, --inputs and --halves"
            + (f", not {' and '.join(ways)}" if ways else ""),
            "--make edges makes inputs of the pictures themselves",
        )


# -- data


def load_sources(
    request: DataRequest, pairs: PairRequest, config: TranslationConfig, cache: Path, progress: Progress
) -> tuple[Source, Source]:
    """What is trained on, and what is held out: the split dev, else every HELD_OUT_EVERY-th picture."""
    found = _load(request, pairs, config, cache, progress)
    held_out = _dev_of(request, pairs, config, cache, progress) if request.split == "train" else None
    if held_out is None:
        is_out = held_out_rows(found)
        if len(found) - is_out.sum() >= MIN_PICTURES and is_out.any():
            found, held_out = _part(found, ~is_out), _part(found, is_out)
    if len(found) < MIN_PICTURES:
        raise ManifestError(f"{len(found)} pictures are too few to learn from", f"{MIN_PICTURES} are the least")
    return found, held_out if held_out is not None else _part(found, np.zeros(len(found), bool))


def held_out_rows(source: Source) -> NDArray[np.bool_]:
    """(N,) whether a picture is held out: every HELD_OUT_EVERY-th person or source, with all pictures of it; pictures of
    which neither is said count for themselves, equal ones together."""
    items, digests = source.targets.items, source.targets.digests
    names = [item.identity or item.source or digest for item, digest in zip(items, digests, strict=True)]
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for name in names], np.bool_)


def _dev_of(
    request: DataRequest, pairs: PairRequest, config: TranslationConfig, cache: Path, progress: Progress
) -> Source | None:
    """Pictures of the split dev, where the data have one."""
    dev = request.model_copy(update={"split": "dev", "limit": config.quality_pictures})
    try:
        rows = choose_rows(dev, Progress(quiet=True))
    except (ManifestError, UsageError):  # no row of it, or a folder that is described elsewhere
        return None
    if any(row.item.split != "dev" for row in rows):
        return None
    progress.say("figures are measured on the split dev:")
    return _load(dev, pairs, config, cache / "dev", progress)


def _load(
    request: DataRequest, pairs: PairRequest, config: TranslationConfig, cache: Path, progress: Progress
) -> Source:
    px = config.picture_px or config.image_px
    if pairs.halves != "none":
        return _halves(request, pairs.halves == "left", px, config.workers, progress)
    targets = load_pictures(request, px, cache, progress, config.workers)
    if pairs.inputs is None:
        return Source(targets)
    inputs = load_pictures(
        DataRequest(data=(pairs.inputs,), label="any", split="any", cache_gb=request.cache_gb),
        px,
        cache / "inputs",
        progress,
        config.workers,
    )
    by_name = {item.path.stem: position for position, item in enumerate(inputs.items)}
    for what, pictures in (("--inputs", inputs), ("--data", targets)):
        if len({item.path.stem for item in pictures.items}) < len(pictures):
            raise ManifestError(f"two files of {what} have one name", "pairs are found by name: rename one")
    kept = np.array([item.path.stem in by_name for item in targets.items])
    if not kept.any():
        raise ManifestError(
            "no file of --inputs has the name of one of --data", "pairs have the same name in both folders"
        )
    if not kept.all():
        progress.say(f"{int((~kept).sum())} of {len(kept)} pictures have no input of their name; left out")
    targets = _only(targets, np.flatnonzero(kept))
    return Source(targets, _only(inputs, np.array([by_name[item.path.stem] for item in targets.items])))


def _halves(request: DataRequest, left_is_input: bool, px: int, workers: int, progress: Progress) -> Source:
    """Files that hold a pair side by side; decoded into memory."""
    rows = choose_rows(request, progress)
    need_gb = 2 * 3 * px * px * len(rows) / GB
    if need_gb > request.cache_gb:
        raise UsageError(
            f"pairs in halves are kept in memory, and these need {need_gb:.1f} GB",
            "--cache-gb, --limit, or two folders",
        )

    def both(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | str:
        try:
            picture = read_whole(path)
        except MediaError as error:
            return error.message
        width = picture.shape[1] // 2
        if min(picture.shape[0], width) < MIN_SIDE_PX:
            return f"its halves are {width} x {picture.shape[0]} pixels"
        halves = [np.ascontiguousarray(half) for half in (picture[:, :width], picture[:, width : 2 * width])]
        left, right = (resized(half, middle_of(half), px) for half in halves)
        return (left, right) if left_is_input else (right, left)

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = list(pool.map(lambda row: both(row.item.path), rows))
    missed = [(row.item.path.name, pair) for row, pair in zip(rows, found, strict=True) if isinstance(pair, str)]
    if missed:
        progress.say(f"{len(missed)} left out, unreadable: {missed[0][0]} ({missed[0][1]})")
    kept = [(row.item, pair) for row, pair in zip(rows, found, strict=True) if not isinstance(pair, str)]
    if not kept:
        raise ManifestError("no file gave a pair", "files of --data hold input and target side by side")
    items = [item for item, _ in kept]
    inputs, targets = (np.stack([pair[side] for _, pair in kept]) for side in (0, 1))
    return Source(pictures_of(targets, items), pictures_of(inputs, items))


def _part(source: Source, chosen: NDArray[np.bool_]) -> Source:
    rows = np.flatnonzero(chosen)
    return Source(_only(source.targets, rows), _only(source.inputs, rows) if source.inputs is not None else None)


class _Rows:
    """Some of the pictures, by their own indices."""

    def __init__(self, pictures: Pictures, rows: NDArray[np.int64]) -> None:
        self._pictures, self._rows = pictures, rows

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._pictures.batch(self._rows[indices])


def _only(pictures: Pictures, rows: Sequence[int] | NDArray[np.int64]) -> Pictures:
    chosen = np.asarray(rows, np.int64)
    return replace(
        pictures,
        items=tuple(pictures.items[i] for i in chosen),
        labels=pictures.labels[chosen],
        digests=tuple(pictures.digests[i] for i in chosen),
        source=_Rows(pictures, chosen),
    )


def _record(source: Source) -> DataRecord:
    record = data_record(source.targets)
    if source.inputs is None:
        return record
    both = f"{record.sha256}+{source.inputs.sha256}"
    return record.model_copy(update={"sha256": both})
