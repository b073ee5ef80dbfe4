"""The figures of a training run as Markdown tables for the model card: written by the recipe, never typed."""

from typing import Any

from forensics.common.operating_point import OperatingPoint
from forensics.detectors.model_set import Calibration
from forensics.report.markdown import markdown_text


def card_text(metrics: dict[str, Any], calibrations: dict[str, Calibration], points: dict[str, OperatingPoint]) -> str:
    """Tables per split: AUC per data set and opinion, error rates at the shipped thresholds, fusion."""
    lines: list[str] = []
    for split in ("test", "dev"):
        if split in metrics:
            lines += [f"### {split} split", "", *_auc_table(metrics[split]), "", *_error_table(metrics[split]), ""]
    lines += [
        "### Fusion and thresholds",
        "",
        "| opinion | logit = | likely fake at or above | likely real at or below |",
    ]
    lines += ["|---|---|---|---|"]
    for name, calibration in calibrations.items():
        point = points[name]
        lines.append(
            f"| {markdown_text(name)} | {markdown_text(calibration.formula())} | {point.threshold_fake:.3f} "
            f"| {point.threshold_real:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _auc_table(blocks: dict[str, Any]) -> list[str]:
    names = list(blocks)
    lines = [
        "| data set | real / fake | coverage | " + " | ".join(f"AUC {markdown_text(name)}" for name in names) + " |",
        "|---" * (3 + len(names)) + "|",
    ]
    for dataset, block in blocks[names[0]].items():
        cells = [_estimate(blocks[name][dataset].get("auc")) for name in names]
        lines.append(
            f"| {markdown_text(dataset)} | {block['n_real']} / {block['n_fake']} | {100 * block['coverage']:.1f} % "
            f"| {' | '.join(cells)} |"
        )
    return lines


def _error_table(blocks: dict[str, Any]) -> list[str]:
    name = next(iter(blocks))
    lines = [
        f"| data set ({markdown_text(name)}) | reals called likely fake | fakes called likely fake "
        "| fakes called likely real | inconclusive |",
        "|---|---|---|---|---|",
    ]
    for dataset, block in blocks[name].items():
        cells = [_estimate(block.get(key), percent=True) for key in ("fpr", "tpr", "fnr", "inconclusive")]
        lines.append(f"| {markdown_text(dataset)} | {' | '.join(cells)} |")
    return lines


def _estimate(found: dict[str, float] | None, percent: bool = False) -> str:
    if found is None:
        return "-"
    if percent:
        return f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
