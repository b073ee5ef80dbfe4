"""What a translator learns from: pairs, or two sets of pictures, and which of them are held out."""

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
from generators.run_folder import DataRecord
from generators.training import data_record
from generators.translation.domains import Domains
from generators.translation.pairs import Source
from generators.translation.run_record import PairRequest
from generators.translation_config import TranslationConfig

# Of data without a split for it, every so many-th picture is held out, and at least so many are needed to train on.
HELD_OUT_EVERY, MIN_PICTURES = 20, 4


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


def load_domains(
    request: DataRequest, pairs: PairRequest, config: TranslationConfig, cache: Path, progress: Progress
) -> tuple[Domains, Domains]:
    """Two sets of pictures to train on, and what is held out of both: as `load_sources` does of each."""
    second, second_out = load_sources(request, PairRequest(), config, cache, progress)
    if pairs.inputs is None:  # the second set is made: of pictures that the first does not have
        rows = np.arange(len(second))
        made = Domains(_only(second.targets, rows[::2]), _only(second.targets, rows[1::2]))
        return made, Domains(second_out.targets, second_out.targets)
    asked = request.model_copy(update={"data": (pairs.inputs,)})
    first, first_out = load_sources(asked, PairRequest(), config, cache / "inputs", progress)
    return Domains(first.targets, second.targets), Domains(first_out.targets, second_out.targets)


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


def record_of(source: Source | Domains) -> DataRecord:
    """What a run's record says of them."""
    if isinstance(source, Domains):
        sets, count = [source.first, source.second], len(source.first) + len(source.second)
    else:
        sets, count = [*([source.inputs] if source.inputs is not None else []), source.targets], len(source.targets)
    digests = reversed([pictures.sha256 for pictures in sets])
    return data_record(sets[-1]).model_copy(update={"sha256": "+".join(digests), "pictures": count})
