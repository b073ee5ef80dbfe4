"""The files that a card is made from: read, checked against their schema and against the weights, and named by their hash.

A file of another kind, of another version, or about other weights is an error of one line: a card must not mix figures of
two sets of weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from eval.attack_sets.results import AttackResults
from eval.explanations.results import ExplanationResults
from eval.results import ProvenancePart, Results
from eval.robustness import RobustnessResults
from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import Item, read_manifest
from forensics.detectors.model_set import DEFAULT_DETECTOR, DESCRIPTION, WHOLE_IMAGE, ModelSet

# What a folder of each kind holds, and the command that writes it.
KINDS: dict[type[BaseModel], tuple[str, str]] = {
    Results: ("results.json", "run"),
    RobustnessResults: ("robustness.json", "robustness"),
    AttackResults: ("attack.json", "attack"),
    ExplanationResults: ("explanations.json", "explain"),
}
# The first number of `schema_version` that this reads.
FORMAT = "1"
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class SourceFile:
    """A file that figures come from. `name` shows its folder too, since all files of a kind have one name."""

    what: str
    name: str
    sha256: str
    started_utc: str = ""
    tool: str = ""


@dataclass(frozen=True)
class Source(Generic[T]):
    """Contents of one file; `title` is what its section is called, empty for the kind's own title."""

    title: str
    contents: T
    file: SourceFile
    path: Path


@dataclass(frozen=True)
class ManifestSource:
    """Rows of one manifest."""

    items: tuple[Item, ...]
    file: SourceFile


def read_source(kind: type[T], given: str, model_set: ModelSet, weights: Path) -> Source[T]:
    """One file of results. given: PATH of the file or its folder, or TITLE=PATH.

    Raises UsageError for a path that is not there, another kind of file, another format, or figures of other weights.
    """
    title, path = _titled(given)
    name, command = KINDS[kind]
    hint = f"`forensics bench {command}` writes {name}"
    file = path / name if path.is_dir() else path
    try:
        contents = kind.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{file} is no {name}: {f'{place}: ' if place else ''}{first['msg']}", hint) from error
    version = str(getattr(contents, "schema_version", ""))
    if version.partition(".")[0] != FORMAT:
        raise UsageError(f"{file} has format {version or 'unknown'}, {FORMAT}.x is read", f"{hint}; make it again")
    provenance: ProvenancePart = contents.provenance  # type: ignore[attr-defined]
    _check_weights(file, provenance, model_set, weights, command)
    started = str(provenance.clock.get("started_utc", ""))
    tool = f"{provenance.tool} {provenance.tool_version}"
    return Source(title, contents, SourceFile(command, shown(file), sha256_of_file(file), started, tool), file)


def read_data(path: Path) -> ManifestSource:
    """A manifest whose rows are counted. Raises ManifestError."""
    items = tuple(read_manifest(path))
    return ManifestSource(items, SourceFile("data", shown(path), sha256_of_file(path)))


def read_text(path: Path, what: str) -> tuple[str, SourceFile]:
    """A file of text. Raises UsageError."""
    try:
        return path.read_text(encoding="utf-8"), SourceFile(what, shown(path), sha256_of_file(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", f"--{what} takes a file of text in UTF-8") from error


def shown(path: Path) -> str:
    """Folder and name: enough to tell two files apart, and nothing about the machine."""
    return "/".join(path.absolute().parts[-2:])


def detector_of(asked: str, known: Iterable[str]) -> str:
    """The detector asked for; of results on whole pictures, the fusion that judges these stands for the default one."""
    names = set(known)
    return WHOLE_IMAGE if asked == DEFAULT_DETECTOR and asked not in names and WHOLE_IMAGE in names else asked


def check_detector(name: str, sources: Sequence[Source[Results]]) -> None:
    """Raises UsageError where results lack the detector that the card is about."""
    for source in sources:
        if detector_of(name, source.contents.detectors) not in source.contents.detectors:
            raise UsageError(
                f"{source.path} has no figures of detector '{name}'",
                f"it has: {', '.join(source.contents.detectors)}; choose by --detector, or measure it",
            )


def _titled(given: str) -> tuple[str, Path]:
    title, separator, path = given.partition("=")
    return ("", Path(given)) if Path(given).exists() or not separator else (title.strip(), Path(path))


def _check_weights(file: Path, provenance: ProvenancePart, model_set: ModelSet, weights: Path, command: str) -> None:
    expected = {DESCRIPTION: sha256_of_file(weights / DESCRIPTION), **model_set.hashes}
    other = [name for name, digest in expected.items() if provenance.weights.get(name) != digest]
    if other:
        raise UsageError(
            f"{file} is not about the weights in {weights}: {', '.join(other)} differ",
            f"measure these weights by `forensics bench {command} --weights {weights}`, or name others by --weights",
        )
