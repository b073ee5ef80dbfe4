"""The part of a card about the weights themselves and the data: from model.json, the files beside it, and manifests."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from eval.card.sources import ManifestSource
from eval.report.markdown import bullets, facts_of, markdown_section
from eval.report.tables import ABSENT, UNNAMED, Cell, Row, Table
from eval.results import Results
from forensics.common.aggregation import MEAN
from forensics.common.errors import WeightsError
from forensics.detectors.model_set import DEFAULT_DETECTOR, FUSIONS, Domain, ModelSet
from forensics.report.markdown import markdown_text

SPLITS = ("train", "dev", "test")
KILOBYTE, MEGABYTE = 1e3, 1e6


def weights_section(model_set: ModelSet, folder: Path) -> list[str]:
    """Name, terms, files with sizes and settings. Raises WeightsError for a file that is missing."""
    validated = [("Range that was validated", f"face crops {_range(model_set.domain)}")]
    if model_set.whole_image_domain is not None:
        validated.append(("Of pictures as a whole", f"tiles {_range(model_set.whole_image_domain)}"))
    facts = facts_of(
        [
            ("Name", f"{model_set.name}, version {model_set.version}"),
            ("Terms of the weights", model_set.licence),
            ("Trained on", model_set.trained_on),
            *validated,
        ]
    )
    return [bullets(facts), *markdown_section(_files_table(model_set, folder), 3)]


def clip_limits(model_set: ModelSet) -> str:
    """What a clip's score is, and what several faces do to it: as these weights have it."""
    chosen = model_set.aggregations.get(DEFAULT_DETECTOR, MEAN)
    what = chosen.method.replace("_", " ")
    if chosen.real_track_sd is None:
        several = "The more faces, the more false alarms: nothing is taken off for their number."
    else:
        several = (
            f"Five faces take {chosen.lowered_by(5):.2f} off the greatest log odds, as the spread of "
            f"{chosen.n_real_tracks} real faces in clips has it."
        )
    origin = f" It was chosen on: {markdown_text(chosen.source)}." if chosen.source else ""
    return bullets(
        [
            f"**Several faces.** A verdict rests on the most suspicious face. {several}",
            f"**Clips.** Fusion, calibration and thresholds come from single pictures. A clip's score is the {what} of "
            f"the log odds of a face track's samples.{origin} The error rates of clips are known as far as clips were "
            "measured.",
        ]
    )


def thresholds_section(model_set: ModelSet) -> list[str]:
    """Fusion, calibration and thresholds of every opinion."""
    rows = []
    for name, calibration in model_set.calibrations.items():
        point = model_set.operating_points.get(name)
        bounds = (ABSENT, ABSENT) if point is None else (f"{point.threshold_fake:.3f}", f"{point.threshold_real:.3f}")
        formula = markdown_text(calibration.formula())
        rows.append(Row("", name, (), (Cell(formula), *map(Cell, bounds))))
    meaning = (
        "P(fake) is the logistic function of the logit, at even prior odds; fitted on held-out data. *any of*: the log "
        "odds that at least one of them is right (noisy or): one that finds nothing is no witness against another."
    )
    columns = ("logit", "likely fake at or above", "likely real at or below")
    return markdown_section(Table("Fusion and thresholds", meaning, "Opinion", (), columns, tuple(rows)), 3)


def data_section(manifests: Sequence[ManifestSource], results: Sequence[Results]) -> list[str]:
    """Reals and fakes per data set and split as the manifests have them; of what was judged, where there are none."""
    if not manifests:
        return markdown_section(_judged_table(results), 3)
    counts: Counter[tuple[str, str, int]] = Counter()
    fakes: dict[str, Counter[str]] = {}
    for manifest in manifests:
        for item in manifest.items:
            name = item.dataset or UNNAMED
            counts[name, item.split if item.split in SPLITS else "", item.label] += 1
            found = fakes.setdefault(name, Counter())
            if item.label:
                found[item.generator or UNNAMED] += 1
    splits = [*SPLITS, *([""] if any(split == "" for _, split, _ in counts) else [])]
    rows = tuple(
        Row(
            "",
            name,
            (),
            (
                *(Cell(_pair(counts[name, split, 0], counts[name, split, 1])) for split in splits),
                Cell(markdown_text(", ".join(f"{kind} ({n:,})" for kind, n in sorted(fakes[name].items()))) or ABSENT),
            ),
        )
        for name in sorted(fakes)
    )
    columns = (*(split or "no split" for split in splits), "fakes are of")
    meaning = "Reals / fakes per split, as the manifests list them. Which of them were trained on is said above."
    return markdown_section(Table("Data sets", meaning, "Data set", (), columns, rows), 3)


def _judged_table(results: Sequence[Results]) -> Table:
    rows = tuple(
        Row(f"split {one.dataset.split}", name, (), (Cell(_pair(counts.get("real", 0), counts.get("fake", 0))),))
        for one in results
        for name, counts in one.dataset.datasets.items()
    )
    return Table("Data sets", "What the figures below are counted on.", "Data set", (), ("reals / fakes",), rows)


def _files_table(model_set: ModelSet, folder: Path) -> Table:
    fusions = [model_set.calibrations[name] for name in FUSIONS if name in model_set.calibrations]
    members = {name for fusion in fusions for name in fusion.coefficients}
    rows = []
    for name, part in model_set.weights.items():
        try:
            size = sum((folder / file).stat().st_size for file in part.hashes)
        except OSError as error:
            raise WeightsError(f"{error.filename}: {error.strerror}", "name a whole set by --weights") from error
        several = [f"mean of {len(part.hashes)} networks"] if part.more_files else []
        settings = ", ".join([*several, *(f"{key} {value}" for key, value in part.settings.items())])
        cells = (
            "yes" if name in members else "no",
            markdown_text(settings) or ABSENT,
            _size(size),
            ", ".join(f"`{sha256[:16]}`" for sha256 in part.hashes.values()),
        )
        rows.append(Row("", name, (), tuple(map(Cell, cells))))
    meaning = "A detector that is no part of a fusion never counts in a verdict: it is there to compare with."
    columns = ("part of a fusion", "settings", "size", "SHA-256 begins")
    return Table("Detectors", meaning, "Detector", (), columns, tuple(rows))


def _range(domain: Domain) -> str:
    return f"from {domain.min_crop_px} pixels, sharpness from {domain.min_sharpness:g}"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / MEGABYTE:.2f} MB" if n_bytes >= MEGABYTE else f"{n_bytes / KILOBYTE:.1f} kB"


def _pair(reals: int, fakes: int) -> str:
    return f"{reals:,} / {fakes:,}" if reals or fakes else ABSENT
