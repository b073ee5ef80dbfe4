"""Build a test set: DATA in, a folder with pictures, manifest.csv, testset.json and DATASHEET.md out.

load -> hash -> group and split -> balance and check -> one encoding -> files -> manifest -> audit -> record, datasheet
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eval.config import MAX_DEFAULT_WORKERS, cores
from eval.laundering import AnyCondition, LaunderingCondition, check_one_each, is_network, laundering_of
from eval.testsets.datasheet import render_datasheet
from eval.testsets.folder import SetFolder
from eval.testsets.groups import Placement, place_rows
from eval.testsets.inputs import CHANGED, MISSING, UNREADABLE, InputData, Row, hash_rows, load_inputs, one_line, rows_of
from eval.testsets.options import RUN_ONLY, BuildOptions
from eval.testsets.pictures import DAMAGED, Checked, Decoder, Encoding, decide_encoding
from eval.testsets.record import (
    CLASSES,
    DATASHEET_FILE,
    MANIFEST_FILE,
    RECORD_FILE,
    AuditPart,
    RecipePart,
    SetRecord,
    hash_of_files,
)
from eval.testsets.selection import repeated_files, require_every_split, select_rows
from eval.testsets.summary import counts_of, is_pooled, left_out_of, longest_sides, notes_of, sizes_of
from eval.testsets.writing import Made, Output, manifest_items, plan_outputs, write_outputs
from forensics import __version__
from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import write_manifest
from forensics.common.progress import Progress
from forensics.environment import library_versions
from forensics.perturb.grid import parse_condition

# Those that the bytes of the set can depend on.
LIBRARIES = ("av", "numpy", "opencv-python-headless", "pillow", "scikit-learn", "scipy")
NOT_ANALYSED = (MISSING, UNREADABLE, DAMAGED, CHANGED)
# What load_dataset says of a data set of one class, which is what --real and --fake are for.
ONE_CLASS_NOTE = "figures that need both classes are undefined"
Auditor = Callable[[Path, int], AuditPart]


@dataclass(frozen=True)
class Built:
    """What a build did. `n_unreadable`: files that were looked at and could not be used."""

    record: SetRecord
    n_written: int
    n_kept: int
    n_unreadable: int


@dataclass(frozen=True)
class Plan:
    """What the set will hold; `pictures` are (label, check) of the chosen ones, `left_out` reasons by row."""

    rows: tuple[Row, ...]
    outputs: tuple[Output, ...]
    pictures: tuple[tuple[int, Checked], ...]
    encoding: Encoding
    encoding_reason: str
    left_out: Mapping[int, str]
    notes: tuple[str, ...]


def build_testset(options: BuildOptions, output: Path, progress: Progress, auditor: Auditor | None = None) -> Built:
    """Build a set in a new folder, or complete one of the same recipe.

    auditor: looks for shortcuts in a finished set, given its manifest and the seed; not asked with `audit` off. Raises
    UsageError and ManifestError for inputs and options out of which no balanced set can be made, and WeightsError for a
    network that pictures cannot be laundered by.
    """
    options = options.with_absolute_paths()
    _check_options(options, output)
    conditions = _conditions(options.perturb)
    options = options.model_copy(update={"perturb": _in_recipe(options, conditions)})
    folder = SetFolder(output, options.overwrite)
    inputs = load_inputs(options.real, options.fake, options.layout, options.compression)
    _refuse_own_inputs(inputs, output)
    record = _begun(options, inputs)
    folder.check(record)
    with Decoder() as decoder:
        plan = plan_testset(options, conditions, inputs, decoder, progress)
        folder.claim(record)
        with _one_thread_each(conditions):
            made = write_outputs(plan.outputs, folder, decoder, options, _workers(options), progress)
    pooled = is_pooled(options, plan.outputs)
    manifest = folder.place(MANIFEST_FILE)
    write_manifest(manifest, manifest_items(made, folder.folder, options, pooled))
    audit = auditor(manifest, options.seed) if auditor is not None and options.audit else None
    record = _completed(record, options, plan, made, pooled, audit, sha256_of_file(manifest))
    folder.write(DATASHEET_FILE, render_datasheet(record))
    folder.write(RECORD_FILE, record.to_json())
    folder.finish({one.output.name for one in made})
    n_new = sum(one.is_new for one in made)
    return Built(record, n_new, len(made) - n_new, sum(why in NOT_ANALYSED for why in plan.left_out.values()))


def plan_testset(
    options: BuildOptions, conditions: Sequence[AnyCondition], inputs: Sequence[InputData], decoder: Decoder,
    progress: Progress,
) -> Plan:  # fmt: skip
    """Hash, group, split, balance, check; nothing is written. conditions: of `perturb`."""
    workers = _workers(options)
    rows = hash_rows(rows_of(inputs, options.taken_splits), workers, progress)
    problems = {i: row.problem for i, row in enumerate(rows) if row.problem} | repeated_files(rows)
    rows = [replace(row, is_asked=row.is_asked and i not in problems) for i, row in enumerate(rows)]
    placement = place_rows(rows, options.shares, options.taken_splits, options.crossing, options.seed)
    asked = options.asked_encoding
    with_traits = asked[0] == "auto" and options.size is None
    selection = select_rows(rows, placement.splits, options, decoder, with_traits, workers, progress)
    require_every_split(rows, placement.splits, selection, options, placement.largest_group_share)
    chosen = [(rows[i], placement.splits[i], selection.checked[i]) for i in selection.chosen]
    pictures = tuple((row.item.label, checked) for row, _, checked in chosen if row.kind == "picture")
    encoding, why = decide_encoding(asked, options.size, pictures)
    if pictures:
        progress.say(f"pictures are written as {encoding}: {why}")
    input_notes = [one_line(f"{data.path.name}: {note}") for data in inputs for note in data.notes]
    return Plan(
        rows=tuple(rows),
        outputs=tuple(plan_outputs(chosen, conditions, encoding)),
        pictures=pictures,
        encoding=encoding,
        encoding_reason=why,
        left_out={**placement.reasons, **selection.reasons, **problems},
        notes=(
            *(note for note in input_notes if ONE_CLASS_NOTE not in note),
            *_crossing_notes(placement),
            *selection.notes,
        ),
    )


def _completed(
    record: SetRecord,
    options: BuildOptions,
    plan: Plan,
    made: Sequence[Made],
    pooled: bool,
    audit: AuditPart | None,
    manifest_sha256: str,
) -> SetRecord:
    sides = longest_sides(plan.pictures, options.size)
    notes = notes_of(options, plan.outputs, plan.encoding, pooled, sides)
    return record.model_copy(
        update={
            "state": "complete",
            "encoding": str(plan.encoding) if plan.pictures else "",
            "encoding_reason": plan.encoding_reason if plan.pictures else "",
            "is_pooled": pooled,
            "counts": tuple(counts_of(plan.outputs)),
            "left_out": tuple(left_out_of(plan.rows, plan.left_out)),
            "sizes": tuple(sizes_of(sides)),
            "notes": (*plan.notes, *notes),
            "audit": audit,
            "n_files": len(made),
            "files_sha256": hash_of_files({one.output.name: one.sha256 for one in made}),
            "manifest_sha256": manifest_sha256,
        }
    )


def _workers(options: BuildOptions) -> int:
    return options.workers or min(cores(), MAX_DEFAULT_WORKERS)


def _conditions(perturb: Sequence[str]) -> list[AnyCondition]:
    found: list[AnyCondition] = []
    for text in perturb:
        found += laundering_of(text) or [parse_condition(text)]
    check_one_each(found)
    return list(dict.fromkeys(found))


def _in_recipe(options: BuildOptions, conditions: Sequence[AnyCondition]) -> tuple[str, ...]:
    """What `--perturb` said, but each network with its checkpoint, so that no other one can serve in a rebuild."""
    networks = [one.recipe for one in conditions if isinstance(one, LaunderingCondition)]
    return (*(text for text in options.perturb if not is_network(text)), *networks)


@contextmanager
def _one_thread_each(conditions: Sequence[AnyCondition]) -> Iterator[None]:
    """Networks compute in one thread: files are made beside each other, and bytes must not depend on how many."""
    if not any(isinstance(one, LaunderingCondition) for one in conditions):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def recipe_of(options: BuildOptions, inputs: Sequence[InputData]) -> RecipePart:
    """All that decides the set's bytes, but for the software."""
    return RecipePart(
        options=options.model_dump(mode="json", exclude=set(RUN_ONLY)), inputs=tuple(data.part for data in inputs)
    )


def _begun(options: BuildOptions, inputs: Sequence[InputData]) -> SetRecord:
    recipe, versions = recipe_of(options, inputs), library_versions()
    names = (*LIBRARIES, "torch") if any(map(is_network, options.perturb)) else LIBRARIES
    return SetRecord(
        tool_version=__version__,
        state="building",
        name=options.name,
        seed=options.seed,
        recipe=recipe,
        recipe_sha256=recipe.sha256(),
        environment={name: versions[name] for name in names},
    )


def _crossing_notes(placement: Placement) -> list[str]:
    if not placement.n_crossing:
        return []
    return [
        f"{placement.n_crossing} rows share a source or identity with rows in another split of DATA: a detector that was "
        "trained there may know them"
    ]


def _check_options(options: BuildOptions, output: Path) -> None:
    """What is mistyped is said before anything is read. Raises UsageError."""
    _ = options.asked_encoding, options.shares
    for name, paths in zip(CLASSES, (options.real, options.fake), strict=True):
        if not paths:
            raise UsageError(f"no --{name} DATA", "a test set needs both: --real DATA --fake DATA")
    target = output.absolute().resolve()
    for path in (*options.real, *options.fake):
        if Path(path).is_dir() and target.is_relative_to(Path(path).resolve()):
            raise UsageError(f"--output {output} lies in {path}", "its files would be taken for DATA the next time")


def _refuse_own_inputs(inputs: Sequence[InputData], output: Path) -> None:
    """What the set is made from must not be among what a build may remove. Raises UsageError."""
    target = _resolved(output)
    for data in inputs:
        for path in (data.path, *(item.path for item in data.items)):
            if _resolved(path).is_relative_to(target):
                raise UsageError(
                    f"DATA {data.path}: {path} lies in --output {output}",
                    "its files could be replaced by the set's: choose another --output",
                )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL byte: no such file is there to be lost
        return path.absolute()
