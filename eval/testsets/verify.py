"""Is a test set what its record says, and does it come out of its recipe again?

The record (testset.json) pins the manifest, the manifest pins every file. What DATASHEET.md says is not checked: people
add to it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from eval.config import MAX_DEFAULT_WORKERS, cores
from eval.testsets.build import Auditor, Built, build_testset
from eval.testsets.folder import JOURNAL_FILE, OWN_FILES, is_media_path
from eval.testsets.groups import links_of
from eval.testsets.inputs import cleaned, run_in_order
from eval.testsets.options import BuildOptions
from eval.testsets.record import (
    CLASSES,
    DATASHEET_FILE,
    MANIFEST_FILE,
    RECORD_FILE,
    CountPart,
    SetRecord,
    hash_of_files,
    read_record,
)
from forensics.common.errors import ForensicsError, ManifestError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import Item, read_manifest
from forensics.common.progress import Progress

EXAMPLES_SHOWN = 20


@dataclass(frozen=True)
class Rebuilt:
    """What building a set again gave; `lines` say what differs and why it may, `agrees` if every byte is the same."""

    built: Built
    lines: tuple[str, ...]
    agrees: bool


def verify_testset(folder: Path, progress: Progress, workers: int = 0) -> list[str]:
    """One line per problem; none for a set that is what it says.

    Checks: finished; the manifest's hash; every file there, with its hash, nothing beside them; as many files of each
    kind as stated, and as many reals as fakes; no source, identity, donor or file in two splits.
    Raises ManifestError where the record or the manifest cannot be read at all.
    """
    record = read_record(folder / RECORD_FILE)
    if record.state != "complete":
        return ["the build was stopped before it was complete: run the same command again"]
    problems = [] if record.recipe.sha256() == record.recipe_sha256 else [f"{RECORD_FILE}: its recipe was edited"]
    if not (folder / DATASHEET_FILE).is_file():
        problems.append(f"missing: {DATASHEET_FILE}")
    manifest = folder / MANIFEST_FILE
    rows = _rows_by_name(manifest, problems)
    if sha256_of_file(manifest) != record.manifest_sha256:
        problems.append(f"{MANIFEST_FILE} is not the one that was written: it was edited")
    problems += _file_problems(folder, rows, workers or min(cores(), MAX_DEFAULT_WORKERS), progress)
    problems += [f"not part of the set: {name}" for name in _extra_files(folder, rows)]
    problems += count_problems(list(rows.values()), record.counts)
    problems += split_problems(list(rows.values()))
    if hash_of_files({name: item.extra.get("sha256", "") for name, item in rows.items()}) != record.files_sha256:
        problems.append(f"the hash over all files is not the one in {RECORD_FILE}")
    return problems


def rebuild_testset(
    record_path: Path, output: Path, run: BuildOptions, progress: Progress, auditor: Auditor
) -> Rebuilt:
    """Build the recipe of a record again into another folder, and compare every byte.

    record_path: a testset.json, or the folder that it lies in; the pictures beside it need not be there. run: of its
    options those that are no part of a recipe (workers, overwrite, quiet).
    """
    record_path = record_path / RECORD_FILE if record_path.is_dir() else record_path
    record = read_record(record_path)
    if record.state != "complete":
        raise UsageError(f"{record_path}: the build was stopped before it was complete", "build it first")
    if output.resolve() == record_path.parent.resolve():
        raise UsageError("--output is the folder that is to be compared with", "name a new folder")
    try:
        options = BuildOptions.model_validate(record.recipe.options)
    except ValidationError as error:
        first = error.errors()[0]
        raise ManifestError(
            f"{record_path}: its recipe is damaged: {first['msg']}", "take the original file"
        ) from error
    own = {"workers": run.workers, "overwrite": run.overwrite, "quiet": run.quiet}
    built = build_testset(options.model_copy(update=own), output, progress, auditor)
    differing = _differences(record_path, record, output, built.record)
    reasons = _reasons(record, built.record) if differing else []
    return Rebuilt(built, (*differing, *reasons), agrees=not differing)


def count_problems(items: Sequence[Item], counts: Sequence[CountPart]) -> list[str]:
    """Where the rows are not as many as stated, or reals not as many as fakes. Kinds of media are counted together."""
    stated: Counter[tuple[str, str, str]] = Counter()
    for part in counts:
        stated[part.split, part.label, part.family] += part.n + part.n_perturbed
    there: Counter[tuple[str, str, str]] = Counter(
        (item.split, CLASSES[item.label], item.extra.get("family", "")) for item in items
    )
    problems = [
        f"{split}, {label} {family}: {there[split, label, family]} files, {stated[split, label, family]} stated"
        for split, label, family in sorted(stated | there)
        if there[split, label, family] != stated[split, label, family]
    ]
    for split in sorted({item.split for item in items}):
        n_real, n_fake = (sum(item.split == split and item.label == label for item in items) for label in (0, 1))
        if n_real != n_fake:
            problems.append(f"{split} is not balanced: {n_real} real, {n_fake} fake")
    return problems


def split_problems(items: Sequence[Item]) -> list[str]:
    """What is on two sides of the split: a source, identity, donor, video, or file."""
    splits: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for link in links_of(item, item.extra.get("sha256", "")):
            splits[link].add(item.split)
    return [
        f"in two splits ({', '.join(sorted(names))}): {link.removeprefix('id:')}"
        for link, names in sorted(splits.items())
        if len(names) > 1
    ]


def _rows_by_name(manifest: Path, problems: list[str]) -> dict[str, Item]:
    folder = manifest.parent.absolute()
    rows: dict[str, Item] = {}
    for item in map(cleaned, read_manifest(manifest)):
        name = item.path.relative_to(folder).as_posix() if item.path.is_relative_to(folder) else str(item.path)
        if not is_media_path(name):
            problems.append(f"{MANIFEST_FILE} names a file that cannot be the set's: {name}")
        elif name in rows:
            problems.append(f"{MANIFEST_FILE} names it twice: {name}")
        else:
            rows[name] = item
    return rows


def _file_problems(folder: Path, rows: Mapping[str, Item], workers: int, progress: Progress) -> list[str]:
    def check(name: str) -> str:
        path, item = folder / name, rows[name]
        split, label = name.split("/")[:2]
        if not path.is_file():
            return f"missing: {name}"
        if path.is_symlink():
            return f"a link, not a file: {name}"
        try:
            digest = sha256_of_file(path)
        except OSError as error:
            return f"cannot be read: {name}: {error.strerror}"
        if digest != item.extra.get("sha256", ""):
            return f"changed: {name}"
        return (
            "" if (split, label) == (item.split, CLASSES[item.label]) else f"label or split is not its folder's: {name}"
        )

    return [line for line in run_in_order(check, sorted(rows), workers, progress, "verifying files") if line]


def _extra_files(folder: Path, rows: Mapping[str, Item]) -> list[str]:
    expected = {*rows, *OWN_FILES} - {JOURNAL_FILE}
    names = (
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return sorted(name for name in names if name not in expected)


def _differences(record_path: Path, record: SetRecord, output: Path, new: SetRecord) -> list[str]:
    lines = []
    if new.files_sha256 != record.files_sha256:
        lines.append(f"pictures and clips differ ({record.n_files} before, {new.n_files} now)")
        lines += _differing_files(record_path.parent, record, output)
    if new.manifest_sha256 != record.manifest_sha256:
        lines.append(f"{MANIFEST_FILE} differs")
    if new.to_json().encode() != record_path.read_bytes():
        lines.append(f"{RECORD_FILE} differs")
    sheet = record_path.parent / DATASHEET_FILE
    if sheet.is_file() and sheet.read_bytes() != (output / DATASHEET_FILE).read_bytes():
        lines.append(f"{DATASHEET_FILE} differs")
    return lines


def _differing_files(before: Path, record: SetRecord, after: Path) -> list[str]:
    """By name, where the manifest of the first set is there and is the one that was written."""
    hashes = []
    try:
        if sha256_of_file(before / MANIFEST_FILE) != record.manifest_sha256:
            return []
        for folder in (before, after):
            rows = _rows_by_name(folder / MANIFEST_FILE, [])
            hashes.append({name: item.extra.get("sha256", "") for name, item in rows.items()})
    except (OSError, ForensicsError):
        return []
    old, new = hashes
    lines = [f"not made again: {name}" for name in sorted(old.keys() - new.keys())]
    lines += [f"new: {name}" for name in sorted(new.keys() - old.keys())]
    lines += [f"differs: {name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    rest = len(lines) - EXAMPLES_SHOWN
    return [*lines[:EXAMPLES_SHOWN], f"and {rest} more"] if rest > 0 else lines


def _reasons(before: SetRecord, after: SetRecord) -> list[str]:
    lines = []
    for old, new in zip(before.recipe.inputs, after.recipe.inputs, strict=False):
        if old != new:
            lines.append(f"a possible reason: {old.path} has changed since ({old.rows} rows before, {new.rows} now)")
    versions = {"forensics": (before.tool_version, after.tool_version)} | {
        name: (before.environment.get(name, "?"), after.environment.get(name, "?"))
        for name in sorted({*before.environment, *after.environment})
    }
    return lines + [
        f"a possible reason: {name} was {old}, is {new}" for name, (old, new) in versions.items() if old != new
    ]
