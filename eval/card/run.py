"""`forensics bench card`: read and check the files, put the sections in order, write the card and its figures."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from eval.attack_sets.results import AttackResults
from eval.card.failures import FailureCases, failures_section, read_failures
from eval.card.figures import abstention_section, calibration_section, detectors_section, figures_section, risk_blocks
from eval.card.further import attack_section, clips_section, explanations_section, robustness_section
from eval.card.prose import read_prose
from eval.card.risk_plot import plot_risk_coverage
from eval.card.sources import (
    ManifestSource,
    Source,
    SourceFile,
    check_detector,
    detector_of,
    read_data,
    read_source,
    read_text,
)
from eval.card.weights import clip_limits, data_section, thresholds_section, weights_section
from eval.explanations.results import ExplanationResults
from eval.report.markdown import bullets, markdown_section
from eval.report.tables import ABSENT, Cell, Row, Table
from eval.results import Results
from eval.robustness import RobustnessResults
from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.detectors.model_set import DEFAULT_DETECTOR, DEFAULT_FOLDER, DESCRIPTION, ModelSet, load_model_set
from forensics.report.markdown import markdown_text

PROSE_FILE = Path(__file__).parent / "prose.md"
# By this a card or a figure is known as ours, and may be replaced.
MARK = "<!-- made by forensics bench card -->"
FOREIGN_WORDS = (
    "**The words on use, data and limits below were written for the weights that ship with the program, and these are "
    "others.** Tables and figures are about these; words of their own are given by `--prose`."
)
RECIPE_LANGUAGES = {".toml": "toml", ".json": "json", ".sh": "sh"}


@dataclass(frozen=True)
class CardRequest:
    """What to make a card from. Results are PATH or TITLE=PATH; `weights` None: the shipped ones."""

    output: Path
    results: Sequence[str]
    weights: Path | None = None
    robustness: Sequence[str] = ()
    attack: Sequence[str] = ()
    clips: Sequence[str] = ()
    explanations: Sequence[str] = ()
    data: Sequence[Path] = ()
    recipe: Path | None = None
    failures: Path | None = None
    prose: Path | None = None
    figures: Path | None = None
    detector: str = DEFAULT_DETECTOR
    overwrite: bool = False


@dataclass(frozen=True)
class CardSources:
    """All that a card is made from, read and checked."""

    model_set: ModelSet
    folder: Path
    prose: dict[str, str]
    results: tuple[Source[Results], ...]
    robustness: tuple[Source[RobustnessResults], ...]
    attack: tuple[Source[AttackResults], ...]
    clips: tuple[Source[Results], ...]
    explanations: tuple[Source[ExplanationResults], ...]
    manifests: tuple[ManifestSource, ...]
    recipe: str
    failures: FailureCases | None
    files: tuple[SourceFile, ...]
    are_words_foreign: bool  # those of the shipped weights stand beside the figures of others


def write_card(request: CardRequest) -> list[Path]:
    """Write the card and its figures; returns their paths. The same files give the same bytes.

    Raises UsageError for inputs that do not fit (see eval.card.sources) or an output that is somebody else's.
    """
    sources = read_sources(request)
    figures = request.figures or request.output.parent
    plots = {
        figures / f"{request.output.stem}-coverage-{number}.svg": plot_risk_coverage(blocks, name)
        for number, source in enumerate(sources.results, 1)
        for name in (detector_of(request.detector, source.contents.detectors),)
        if (blocks := risk_blocks(source.contents.detectors[name]))
    }
    linked = {path: quote(Path(os.path.relpath(path, request.output.parent)).as_posix()) for path in plots}
    text = render_card(sources, request.detector, request.output, list(linked.values()))
    files = {request.output: text, **{path: f"{svg}{MARK}\n" for path, svg in plots.items()}}
    for path in files:
        _check_ours(path, request.overwrite)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    for path in sorted(figures.glob("*.svg")):
        if path not in files and _is_figure_of(path.name, request.output.stem) and _is_ours(path):
            path.unlink()  # of an earlier card, made of more files
    return list(files)


def read_sources(request: CardRequest) -> CardSources:
    """Every file read and checked. Raises typed errors."""
    if not request.results:
        raise UsageError("a card needs --results", "`forensics bench run DATA --split test` writes results.json")
    model_set, folder = load_model_set(request.weights)
    described = SourceFile("weights", f"{model_set.name}/{DESCRIPTION}", sha256_of_file(folder / DESCRIPTION))
    prose_text, prose_file = read_text(request.prose or PROSE_FILE, "prose")
    prose = read_prose(prose_text, prose_file.name)
    results = tuple(read_source(Results, one, model_set, folder) for one in request.results)
    clips = tuple(read_source(Results, one, model_set, folder) for one in request.clips)
    check_detector(request.detector, [*results, *clips])
    robustness = tuple(read_source(RobustnessResults, one, model_set, folder) for one in request.robustness)
    attack = tuple(read_source(AttackResults, one, model_set, folder) for one in request.attack)
    explanations = tuple(read_source(ExplanationResults, one, model_set, folder) for one in request.explanations)
    manifests = tuple(read_data(path) for path in request.data)
    recipe, more = "", []
    if request.recipe is not None:
        recipe, recipe_file = read_text(request.recipe, "recipe")
        language = RECIPE_LANGUAGES.get(request.recipe.suffix, "")
        recipe, more = _fenced(recipe, language), [recipe_file]
    failures = None
    if request.failures is not None:
        own = read_source(Results, str(request.failures), model_set, folder)
        check_detector(request.detector, [own])
        failures = read_failures(request.failures, own, detector_of(request.detector, own.contents.detectors))
    files = [
        described,
        *(source.file for group in (results, robustness, attack, clips, explanations) for source in group),
        *(manifest.file for manifest in manifests),
        *more,
        *(failures.files if failures else ()),
        prose_file,
    ]
    return CardSources(
        model_set, folder, prose, results, robustness, attack, clips, explanations, manifests, recipe, failures,
        tuple(files), request.prose is None and described.sha256 != sha256_of_file(DEFAULT_FOLDER / DESCRIPTION),
    )  # fmt: skip


def render_card(sources: CardSources, detector: str, card: Path, plots: Sequence[str]) -> str:
    """The whole text; plots: links to the figures, one per file of results that has risks."""
    prose, model_set = sources.prose, sources.model_set
    measured = [source.contents for source in sources.results]
    blocks = [
        "# Model card",
        f"{MARK}\nMade by `forensics bench card`: every figure below is read from a file that is named at the end, with "
        "its hash. Scores and labels: 1 = fake, 0 = real.",
        *([FOREIGN_WORDS] if sources.are_words_foreign else []),
        "## What the weights are",
        prose["about"],
        *weights_section(model_set, sources.folder),
        *thresholds_section(model_set),
        "## What they are for",
        prose["use"],
        "## What they must not be used for",
        prose["not-for"],
        "## Data and their terms",
        prose["data"],
        *data_section(sources.manifests, measured),
    ]
    if sources.recipe or "recipe" in prose:
        blocks += ["## Recipe", *filter(None, (prose.get("recipe"), sources.recipe))]
    left = list(plots)
    for source in sources.results:
        results, name = source.contents, detector_of(detector, source.contents.detectors)
        blocks += [_heading(source, "Figures"), *_unusual_split(results), *figures_section(results, name, 3)]
        blocks += calibration_section(results, name, 3)
        abstention = abstention_section(results, name, 3)
        if abstention:
            blocks += [*abstention, f"![Error over coverage, a line per data set]({left.pop(0)})"]
        blocks += detectors_section(results, 3)
    for robust in sources.robustness:
        title = _heading(robust, "Compression, resizing, blur, noise")
        name = detector_of(detector, (part.detector for part in robust.contents.conditions))
        blocks += [title, *robustness_section(robust.contents, name, 3)]
    for attacked in sources.attack:
        blocks += [_heading(attacked, "Adversaries"), *attack_section(attacked.contents, detector, 3)]
    for clips in sources.clips:
        name = detector_of(detector, clips.contents.detectors)
        blocks += [_heading(clips, "Clips"), *clips_section(clips.contents, name, 3)]
    for explained in sources.explanations:
        blocks += [_heading(explained, "Explanations"), *explanations_section(explained.contents, 3)]
    if sources.failures is not None:
        blocks += ["## Failure cases", *failures_section(sources.failures, card)]
    blocks += ["## Known limits", prose["limits"], clip_limits(model_set), *_not_measured(sources)]
    if "generators" in prose:
        blocks += ["## Generators that ship", prose["generators"]]
    blocks += ["## Sources", *markdown_section(_files_table(sources.files), 3)]
    return "\n\n".join(blocks) + "\n"


def _heading(source: Source[Results] | Source[RobustnessResults] | Source[AttackResults] | Source[ExplanationResults],
             default: str) -> str:  # fmt: skip
    return f"## {default}: {markdown_text(source.title)}" if source.title else f"## {default}"


def _unusual_split(results: Results) -> list[str]:
    split = results.dataset.split
    if split == "test":
        return []
    return [
        f"**These are not figures of a test split but of split {markdown_text(split)}**: what was trained or chosen on "
        "them makes them look better than they are."
    ]


def _not_measured(sources: CardSources) -> list[str]:
    """What the card has no figures on, said aloud."""
    lacking = [
        what
        for what, group in (
            ("compression, resizing, blur and noise", sources.robustness),
            ("adversarial pictures", sources.attack),
            ("whole clips", sources.clips),
            ("explanations", sources.explanations),
        )
        if not group
    ]
    return [bullets([f"No figures here on: {', '.join(lacking)}."])] if lacking else []


def _files_table(files: Sequence[SourceFile]) -> Table:
    rows = tuple(
        Row("", one.name, (), tuple(Cell(text or ABSENT) for text in (
            one.what, f"`{one.sha256}`", markdown_text(one.started_utc), markdown_text(one.tool),
        )))
        for one in files
    )  # fmt: skip
    columns = ("kind", "SHA-256", "begun (UTC)", "tool")
    return Table("Files", "Folder and name; all results are about the weights named first.", "File", (), columns, rows)


def _fenced(text: str, language: str) -> str:
    """A code block that its own contents cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _check_ours(path: Path, overwrite: bool) -> None:
    """Raises UsageError for a file that this command did not write."""
    if path.exists() and not overwrite and not _is_ours(path):
        raise UsageError(f"{path} was not made by this command", "choose another --output, or --overwrite")


def _is_ours(path: Path) -> bool:
    try:
        return MARK in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _is_figure_of(name: str, card: str) -> bool:
    """Whether a file's name is that of a card's coverage curve."""
    return re.fullmatch(re.escape(card) + r"-coverage-\d+\.svg", name) is not None
