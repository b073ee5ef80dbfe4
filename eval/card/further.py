"""Sections of a card beside the figures of a benchmark: changed pictures, attacks, clips, explanations."""

from collections.abc import Callable

from eval.attack_sets.report import THREATS, percent
from eval.attack_sets.results import AttackResults, CellPart, Figure
from eval.card.figures import LIKELY_FAKE, LIKELY_REAL, share_cell
from eval.explanations.report import family_text, measure_of
from eval.explanations.results import ExplanationResults, MeanPart
from eval.laundering import NETWORKS
from eval.report.figures import FPR, format_interval, format_rate
from eval.report.markdown import bullets, markdown_section
from eval.report.tables import ABSENT, UNDEFINED, Cell, Row, Table
from eval.results import Results
from eval.robustness import ALL, ConditionPart, RobustnessResults
from forensics.common.errors import UsageError
from forensics.perturb.grid import GRID
from forensics.report.markdown import markdown_text

POOLED = "all together"
CLEAN = "unchanged"


def robustness_section(results: RobustnessResults, detector: str, level: int) -> list[str]:
    """Loss of AUC, FPR and FNR per condition, a column per data set, all together last.

    Raises UsageError where the detector was not measured.
    """
    parts = [part for part in results.conditions if part.detector == detector]
    if not parts:
        known = ", ".join(sorted({part.detector for part in results.conditions})) or "no detector"
        raise UsageError(f"no robustness figures of detector '{detector}'", f"the file has: {known}")
    families = sorted({part.family for part in parts}, key=lambda name: (name == ALL, name))
    rows: dict[tuple[str, float | None], dict[str, ConditionPart]] = {}
    for part in parts:
        rows.setdefault((part.perturbation, part.strength), {})[part.family] = part
    tables: tuple[tuple[str, str, Callable[[ConditionPart], Cell]], ...] = (
        (
            "Loss of AUC",
            "AUC of the unchanged items less that of the changed ones, on those scored both times; the first row is the "
            "AUC unchanged. In brackets: 95 %, bootstrap over clusters.",
            _loss,
        ),
        (
            "Reals called fake (FPR)",
            "Share of scored reals at or above the shipped threshold; Wilson's interval.",
            _fpr,
        ),
        ("Fakes missed (FNR)", "Share of scored fakes below the shipped threshold; Wilson's interval.", _fnr),
        ("Share that still gets a score", "A face that is not found has no score.", _scored),
    )
    dataset = results.dataset
    blocks = [
        f"{dataset.n_real:,} real and {dataset.n_fake:,} fake, split {markdown_text(dataset.split)}; "
        f"both changed alike before faces are looked for; detector {markdown_text(detector)}."
    ]
    for title, meaning, cell in tables:
        shown = tuple(
            Row(*_condition(*key), (), tuple(cell(own[name]) if name in own else Cell(ABSENT) for name in families))
            for key, own in rows.items()
        )
        columns = tuple(POOLED if name == ALL else name for name in families)
        blocks += markdown_section(Table(title, meaning, "Strength", (), columns, shown), level)
    return blocks


def attack_section(results: AttackResults, detector: str, level: int) -> list[str]:
    """The card's detector per data set, then every detector on all together, clean and attacked."""
    families = sorted({cell.family for cell in results.cells}, key=lambda name: (name == ALL, name))
    rows = []
    for family in families:
        for cell in results.cells:
            if cell.family == family and (cell.target == detector or family in (ALL, families[-1])):
                budget = f"{cell.attack} {cell.epsilon:g} {cell.unit} on {cell.victim}"
                label = f"{cell.target}: {cell.threat_model}"
                group = f"{POOLED if family == ALL else family}, {budget}"
                rows.append(Row(group, label, (f"{cell.n_real:,}", f"{cell.n_fake:,}"), _attacked(cell)))
    meaning = (
        "Adversarial pictures, saved as PNG and scored as any input is. "
        + "; ".join(THREATS)
        + ". Success is a lower bound "
        "on what an attacker can do; that an attack fails proves nothing."
    )
    columns = (
        "AUC clean", "AUC, fakes attacked", "AUC, both attacked", "fakes missed, clean", "fakes missed, attacked",
        "reals called fake, attacked", "inconclusive, clean", "inconclusive, attacked",
    )  # fmt: skip
    dataset = results.dataset
    judged = f"{dataset.n_real:,} real and {dataset.n_fake:,} fake, split {markdown_text(dataset.split)}; of these "
    judged += f"{results.n_attackable:,} could be attacked."
    table = Table("Detectors under attack", meaning, "Asked", ("reals", "fakes"), columns, tuple(rows))
    return [judged, *markdown_section(table, level)]


def clips_section(results: Results, detector: str, level: int) -> list[str]:
    """Every clip with its verdict, and how many reals lie below how many fakes.

    Raises UsageError for results that list no clips.
    """
    clips = results.detectors[detector].clips
    if not clips:
        raise UsageError(
            "the results of --clips list no clips",
            "`forensics bench run` lists up to 100 (an older version none: run it again, scores come from its cache)",
        )
    rows = tuple(
        Row(
            clip.dataset,
            clip.path,
            (),
            (
                Cell("fake" if clip.label else "real"),
                Cell(markdown_text(clip.verdict or clip.outcome.replace("_", " "))),
                Cell(UNDEFINED if clip.score is None else f"{clip.score:.3f}"),
            ),
        )
        for clip in sorted(clips, key=lambda clip: (clip.dataset, clip.path))
    )
    reals, fakes = ([clip for clip in clips if clip.label == label] for label in (0, 1))
    scores = [clip.score for clip in reals if clip.score is not None]
    above = [
        f"{markdown_text(clip.path)} scores above {sum(score < clip.score for score in scores)} of {len(scores)} scored "
        "real clips"
        for clip in fakes
        if clip.score is not None
    ]
    decided = sum(clip.verdict in (LIKELY_FAKE, LIKELY_REAL) for clip in clips)
    counts = [
        f"Real clips called likely fake: {sum(clip.verdict == LIKELY_FAKE for clip in reals)} of {len(reals)}",
        f"Fake clips called likely real: {sum(clip.verdict == LIKELY_REAL for clip in fakes)} of {len(fakes)}",
        f"Decided: {decided} of {len(clips)}",
    ]
    table = Table("Verdicts on clips", "", "Clip", (), ("label", "verdict", "P(fake)"), rows)
    return [*markdown_section(table, level), bullets([*counts, *above])]


def explanations_section(results: ExplanationResults, level: int) -> list[str]:
    """How well heatmaps agree with known masks, beside chance and a blob in the middle of the crop."""
    rows = tuple(
        Row(
            cell.detector,
            f"{family_text(cell)}, {cell.calls}",
            (f"{cell.n:,}", f"{cell.n_clusters:,}"),
            tuple(
                _mean(mean)
                for name in ("pointing", "energy")
                for measure in (measure_of(cell, name),)
                for mean in (measure.heatmap, measure.chance, measure.centred)
            ),
        )
        for cell in sorted(results.cells, key=lambda cell: (cell.detector, cell.dataset == ALL))
    )
    meaning = (
        "Heatmaps of fakes against the masks of what was altered. Pointing: share of fakes whose hottest place lies in the "
        "mask (Zhang et al. 2016); energy: share of the heat that lies in it (Wang et al. 2020). Chance follows from the "
        "mask's area; the blob always shows the middle of the crop. What is no better than the blob has not shown that it "
        "looks at the picture."
    )
    columns = tuple(
        f"{measure}: {kind}" for measure in ("pointing", "energy") for kind in ("heatmap", "chance", "blob")
    )
    return markdown_section(Table("Heatmaps against masks", meaning, "Fakes", ("n", "groups"), columns, rows), level)


def _condition(perturbation: str, strength: float | None) -> tuple[str, str]:
    if not perturbation:
        return CLEAN, ABSENT
    if perturbation in NETWORKS:
        return NETWORKS[perturbation].title, perturbation
    known = GRID.get(perturbation)
    title = perturbation if known is None else f"{known.title}, {known.unit}" if known.unit else known.title
    return title, ABSENT if strength is None else f"{strength:g}"


def _loss(part: ConditionPart) -> Cell:
    value, low, high = (
        (part.drop, part.drop_low, part.drop_high) if part.perturbation else (part.auc, part.auc_low, part.auc_high)
    )
    if value is None:
        return Cell(UNDEFINED)
    # A loss that rounds to nothing has no sign.
    text = f"{value:.3f}".replace("-0.000", "0.000")
    return Cell(text, "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]".replace("-0.000", "0.000"))


def _fpr(part: ConditionPart) -> Cell:
    return Cell(UNDEFINED) if part.fpr is None else share_cell(round(part.fpr * part.n_real), part.n_real)


def _fnr(part: ConditionPart) -> Cell:
    return Cell(UNDEFINED) if part.fnr is None else share_cell(round(part.fnr * part.n_fake), part.n_fake)


def _scored(part: ConditionPart) -> Cell:
    return Cell(UNDEFINED if part.share_scored is None else format_rate(part.share_scored))


def _attacked(cell: CellPart) -> tuple[Cell, ...]:
    aucs = (cell.auc_clean, cell.auc_fakes_attacked, cell.auc_both_attacked)
    shares = (
        cell.fnr_clean, cell.fnr_attacked, cell.fpr_attacked, cell.inconclusive_clean, cell.inconclusive_attacked,
    )  # fmt: skip
    return (*(_figure(one, False) for one in aucs), *(_figure(one, True) for one in shares))


def _figure(figure: Figure, is_share: bool) -> Cell:
    if figure.value is None:
        return Cell(ABSENT)
    text = percent(figure.value) if is_share else f"{figure.value:.3f}"
    if figure.low is None or figure.high is None:
        return Cell(text)
    bounds = format_interval((figure.low, figure.high), FPR) if is_share else f"[{figure.low:.3f}, {figure.high:.3f}]"
    return Cell(text, bounds)


def _mean(part: MeanPart) -> Cell:
    interval = "" if part.low is None or part.high is None else f"[{part.low:.3f}, {part.high:.3f}]"
    return Cell(f"{part.value:.3f}", interval)
