"""Files and manifest rows of a set: what each is called, how it is made, what its row says."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.laundering import AnyCondition
from eval.testsets.folder import Known, SetFolder, media_name
from eval.testsets.inputs import Row, run_in_order
from eval.testsets.options import BuildOptions
from eval.testsets.pictures import Checked, Decoder, Encoding, perturbed, reduced
from forensics.common.errors import MediaError, UsageError
from forensics.common.manifest import COLUMNS, Item
from forensics.common.progress import Progress
from forensics.common.text import number_or_csv_cell

# Columns that are written here, always; what DATA has under these names goes, or is kept under the second name.
OWN_COLUMNS = ("collection", "family", "sha256", "seed", "original", "perturbation")
RENAMED_COLUMNS = {"seed": "origin_seed", "original": "origin_original"}
BOXES_COLUMN = "frames"  # per-frame boxes, in pixels of the original
SOURCE_DIGITS = 16  # of the hash that stands in for a source that DATA does not name


@dataclass(frozen=True)
class Output:
    """One file of the set; `condition` of a perturbed copy."""

    name: str
    row: Row
    split: str
    checked: Checked
    condition: AnyCondition | None
    encoding: Encoding

    @property
    def is_copy(self) -> bool:
        """Whether it is the original, byte for byte."""
        return self.condition is None and (self.row.kind == "clip" or self.encoding.name == "keep")

    def is_resized(self, size: int | None) -> bool:
        """Whether places in the original, in pixels, are not places in it."""
        if self.is_copy:
            return False
        is_reduced = size is not None and max(self.checked.width, self.checked.height) > size
        return is_reduced or (self.condition is not None and not self.condition.keeps_size)


@dataclass(frozen=True)
class Made:
    """A file that is there now; `is_new` if it was not before."""

    output: Output
    sha256: str
    is_new: bool


def plan_outputs(
    chosen: Iterable[tuple[Row, str, Checked]], conditions: Sequence[AnyCondition], encoding: Encoding
) -> list[Output]:
    """Every file of the set, sorted by name. chosen: rows with split and check; pictures get a copy per condition."""
    outputs = []
    for row, split, found in chosen:
        is_kept = row.kind == "clip" or encoding.name == "keep"
        for condition in (None, *(conditions if row.kind == "picture" else ())):
            own = encoding if condition is None else encoding.of_copies
            suffix = found.suffix if is_kept and condition is None else own.suffix
            stem, mark = row.item.path.stem, str(condition or "")
            name = media_name(split, row.item.label, row.family, stem, row.sha256, mark, suffix)
            outputs.append(Output(name, row, split, found, condition, own))
    return sorted(outputs, key=lambda output: output.name)


def write_outputs(
    outputs: Sequence[Output],
    folder: SetFolder,
    decoder: Decoder,
    options: BuildOptions,
    workers: int,
    progress: Progress,
) -> list[Made]:
    """Make what is not there yet, aligned with outputs. Raises UsageError for an original that has changed meanwhile."""

    def make(output: Output) -> Made:
        original = output.row.sha256
        known = folder.finished_hash(output.name, original, output.is_copy)
        if known is not None:
            return Made(output, known, is_new=False)
        if output.is_copy:
            digest = folder.copy(output.row.item.path, output.name)
            if digest != original:
                raise _changed(output.row.item.path)
            return Made(output, digest, is_new=True)
        data = _encoded(output, decoder, options)
        folder.write(output.name, data)
        return Made(output, hashlib.sha256(data).hexdigest(), is_new=True)

    def remember(made: Made) -> None:
        folder.note(made.output.name, Known(made.sha256, made.output.row.sha256))

    return run_in_order(make, outputs, workers, progress, "writing files", remember)


def _encoded(output: Output, decoder: Decoder, options: BuildOptions) -> bytes:
    try:
        picture = reduced(decoder.read(output.row), options.size)
    except (MediaError, OSError) as error:
        raise _changed(output.row.item.path) from error
    if output.condition is not None:
        picture = perturbed(picture, output.condition, output.row.sha256, options.seed)
    return output.encoding.encode(picture)


def _changed(path: Path) -> UsageError:
    return UsageError(f"{path} changed while it was read", "run the command again when nothing else writes there")


def manifest_items(made: Sequence[Made], folder: Path, options: BuildOptions, is_pooled: bool) -> list[Item]:
    """Rows of the manifest, without columns that no row fills."""
    items = [manifest_item(one, folder, options, is_pooled) for one in made]
    filled = {name for item in items for name, value in item.extra.items() if value} | set(OWN_COLUMNS)
    return [replace(item, extra={k: v for k, v in item.extra.items() if k in filled}) for item in items]


def manifest_item(made: Made, folder: Path, options: BuildOptions, is_pooled: bool) -> Item:
    """The manifest's row of a file: columns of DATA that still hold, and those that say what it is made from.

    Rows without a source get one of their own, so that a picture and its perturbed copies are not taken for independent.
    """
    output, item = made.output, made.output.row.item
    kept = {RENAMED_COLUMNS.get(name, name): value for name, value in item.extra.items()}
    if output.is_resized(options.size):
        kept.pop(BOXES_COLUMN, None)
    before = item.extra.get("perturbation", "")
    steps = [step for step in (before, str(output.condition or "")) if step]
    own = {  # OWN_COLUMNS
        "collection": item.extra.get("collection", "") or item.dataset,
        "family": output.row.family,
        "sha256": made.sha256,
        "seed": str(options.seed),
        "original": output.row.sha256,
        "perturbation": "+".join(steps),
    }
    extra = own | {name: value for name, value in kept.items() if name not in own and name not in COLUMNS}
    return Item(
        path=folder / output.name,
        label=item.label,
        generator=number_or_csv_cell(item.generator),
        dataset=number_or_csv_cell(options.name if is_pooled else item.dataset),
        source=number_or_csv_cell(item.source or f"file-{output.row.sha256[:SOURCE_DIGITS]}"),
        identity=number_or_csv_cell(item.identity),
        split=output.split,
        view=item.view,
        extra={number_or_csv_cell(name): number_or_csv_cell(value) for name, value in extra.items()},
    )
