"""explanations.md: how well heatmaps agree with masks, as Markdown, generated, never typed."""

from eval.explanations.judging import OUTCOMES
from eval.explanations.measures import MEASURES
from eval.explanations.results import CellPart, ExplanationResults, MeanPart, MeasurePart
from eval.report.markdown import bullets, facts_of, markdown_section
from eval.report.tables import FEW_CLUSTERS, Cell, Row, Table
from forensics.report.markdown import markdown_text

TITLES = {
    "pointing": (
        "Pointing game",
        "Share of fakes whose hottest place lies in the mask (Zhang et al. 2016, without tolerance).",
    ),
    "tolerant": (
        "Pointing game with tolerance",
        "The same within 15/224 of the crop's side, the paper's tolerance. It helps chance too.",
    ),
    "energy": (
        "Energy inside the mask",
        "Share of the heatmap's sum that lies in the mask (energy-based pointing game, Wang et al. 2020).",
    ),
    "iou": ("IoU at the mask's area", "The mask against as many of the hottest pixels, intersection over union."),
}
COLUMNS = ("heatmap", "chance", "centred blob", "heatmap - chance", "heatmap - centred")


def render_explanations_markdown(results: ExplanationResults) -> str:
    """The whole report; the same results give the same text, clock and machine left out."""
    dataset = results.dataset
    about = {
        "data sets": ", ".join(dataset.names),
        "split": dataset.split,
        "fakes": f"{results.n_fakes:,}, of which {results.n_without_mask:,} have no mask and are left out",
        "self-blends": f"{results.n_self_blends:,}",
        "intervals": f"95 %, {results.provenance.bootstrap_draws:,} bootstrap draws of {results.provenance.clusters}",
        "seed": results.provenance.seed,
        "weights": results.provenance.weights.get("model.json", "")[:16],
        "tool": f"{results.provenance.tool} {results.provenance.tool_version}",
    }
    blocks = ["# Heatmaps against masks", bullets(facts_of(about.items()))]
    blocks.append(
        "Chance is a random point or a constant map: it follows from how much of the crop the mask covers. The centred "
        "blob always shows the middle of the crop, where faces are altered most. A heatmap that is no better than the blob "
        "has not shown that it looks at the picture. Detected: scored at or above the detector's threshold."
    )
    if any(cell.n_clusters < FEW_CLUSTERS for cell in results.cells):
        blocks.append(f"Intervals over fewer than {FEW_CLUSTERS} clusters are too narrow.")
    for part in results.detectors:
        blocks.append(f"## {markdown_text(part.name)}")
        cells = [cell for cell in results.cells if cell.detector == part.name]
        if cells:
            blocks += [text for name in MEASURES for text in markdown_section(_table(name, cells), 3)]
        blocks.append(bullets(facts_of((OUTCOMES.get(name, name), count) for name, count in part.outcomes.items())))
    return "\n\n".join(blocks) + "\n"


def family_text(cell: CellPart) -> str:
    """Data set and generator of a cell."""
    if cell.dataset == "all":
        return "all"
    return f"{cell.dataset} / {cell.generator}"


def measure_of(cell: CellPart, name: str) -> MeasurePart:
    """One of MEASURES."""
    found: MeasurePart = getattr(cell, name)
    return found


def _table(name: str, cells: list[CellPart]) -> Table:
    rows = tuple(
        Row(
            family_text(cell),
            cell.calls,
            (f"{cell.n:,}", f"{cell.n_clusters:,}", f"{cell.mask_share:.2f}"),
            tuple(
                _cell(part, is_difference)
                for part, is_difference in (
                    (measure_of(cell, name).heatmap, False),
                    (measure_of(cell, name).chance, False),
                    (measure_of(cell, name).centred, False),
                    (measure_of(cell, name).above_chance, True),
                    (measure_of(cell, name).above_centred, True),
                )
            ),
        )
        for cell in cells
    )
    title, meaning = TITLES[name]
    return Table(title, meaning, "fakes", ("n", "clusters", "mask's share"), COLUMNS, rows)


def _cell(part: MeanPart, is_difference: bool) -> Cell:
    shape = "+.3f" if is_difference else ".3f"
    if part.low is None or part.high is None:
        return Cell(format(part.value, shape))
    return Cell(format(part.value, shape), f"[{part.low:{shape}}, {part.high:{shape}}]")
