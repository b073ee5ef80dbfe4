"""How well each analysis of a still tells spliced photographs from authentic ones, and how often it is wrong on
authentic ones.

    python tests/bench/bench_evidence.py --data ../shared/data/casia1/manifest.csv --split dev --output out/evidence

AUC of the statistic with a bootstrap over clusters of shared photographs; shares of authentic pictures that are called
suspicious or inconsistent with Wilson's interval. Writes evidence.md and evidence.json. Choose thresholds on dev; test
is read once.
"""

import argparse
import csv
import io
import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from forensics.analysis.blocks import luma_steps
from forensics.analysis.catalogue import reliability_text
from forensics.analysis.protocol import Analysis, Picture
from forensics.common.clusters import clusters_of
from forensics.common.metrics import Estimate, auc_with_interval, share_with_interval
from forensics.media.facts_types import JpegFacts

STILLS = (
    "ela", "jpeg_ghosts", "double_quantisation", "jpeg_grid", "noise", "resampling", "copy_move", "spectrum_peaks",
)  # fmt: skip


def read_picture(path: Path) -> Picture:
    """A picture as an analysis gets it; of a JPEG's facts only those that stills' analyses use: tables and quality."""
    data = path.read_bytes()
    image = Image.open(io.BytesIO(data))
    facts = None
    if image.format == "JPEG":
        tables = tuple(tuple(int(step) for step in table) for _, table in sorted(image.quantization.items()))
        own = np.array(tables[0], np.float64).reshape(8, 8)
        misfits = [float(np.abs(luma_steps(quality) - own).mean()) for quality in range(1, 101)]
        facts = JpegFacts(*image.size, tables, int(np.argmin(misfits)) + 1, min(misfits), "", False, (), 0)
    return Picture(np.array(image.convert("RGB")), facts)


def read_rows(manifest: Path, split: str, most: int | None) -> list[dict[str, str]]:
    """Rows of a split; of more than `most`, evenly spaced ones."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == split]
    return rows if most is None else rows[:: max(1, len(rows) // most)][:most]


def pooled(estimate: Estimate) -> dict[str, float] | None:
    """An estimate as JSON has it; None where it is undefined (one class only)."""
    if np.isnan(estimate.value):
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def measure(analysis: Analysis[Picture], pictures: list[Picture], rows: list[dict[str, str]]) -> dict[str, Any]:
    """Figures of one analysis. A picture without a statistic counts as 0: nothing unusual was found."""
    start = time.perf_counter()
    findings = [analysis.examine(picture) for picture in pictures]
    seconds = (time.perf_counter() - start) / max(len(pictures), 1)
    labels = [int(row["label"]) for row in rows]
    clusters = clusters_of(
        [row["source"] for row in rows], [row["identity"] for row in rows], [row["path"] for row in rows]
    )
    figures: dict[str, Any] = {
        "n_authentic": labels.count(0),
        "n_altered": labels.count(1),
        "seconds_per_picture": seconds,
        "auc": pooled(
            auc_with_interval(labels, [finding.statistic or 0.0 for finding in findings], [str(c) for c in clusters])
        ),
    }
    for label, word in ((0, "authentic"), (1, "altered")):
        states = [finding.state for finding, own in zip(findings, labels, strict=True) if own == label]
        flagged = sum(state in ("suspicious", "inconsistent") for state in states)
        figures[f"{word}_flagged"] = pooled(share_with_interval(flagged, len(states)))
        figures[f"{word}_inconsistent"] = pooled(share_with_interval(states.count("inconsistent"), len(states)))
        figures[f"{word}_not_judged"] = sum(state in ("inconclusive", "not applicable") for state in states)
        figures[f"{word}_statistics"] = sorted(
            (finding.statistic or 0.0 for finding, own in zip(findings, labels, strict=True) if own == label),
            reverse=True,
        )
    return figures


def in_words(figure: dict[str, float] | None, percent: bool) -> str:
    """A figure with its interval."""
    if figure is None:
        return "-"
    numbers = [figure[key] * (100 if percent else 1) for key in ("value", "low", "high")]
    return "{:.1f} [{:.1f}, {:.1f}]".format(*numbers) if percent else "{:.3f} [{:.3f}, {:.3f}]".format(*numbers)


def table(figures: dict[str, dict[str, Any]]) -> str:
    """All analyses as a Markdown table."""
    lines = [
        "| analysis | AUC | authentic: suspicious or inconsistent (%) | authentic: inconsistent (%) | altered: "
        "suspicious or "
        "inconsistent (%) | altered: inconsistent (%) | not judged | s/picture |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, own in figures.items():
        shares = [
            in_words(own[key], True)
            for key in ("authentic_flagged", "authentic_inconsistent", "altered_flagged", "altered_inconsistent")
        ]
        not_judged = own["authentic_not_judged"] + own["altered_not_judged"]
        cells = [name, in_words(own["auc"], False), *shares, str(not_judged), f"{own['seconds_per_picture']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def reliability_entries(figures: dict[str, dict[str, Any]], data: str) -> dict[str, dict[str, Any]]:
    """What `forensics/analysis/reliability.json` holds of each analysis that was measured on both classes."""
    return {
        name: {
            "data": data,
            "auc": own["auc"] | {"n": own["n_authentic"] + own["n_altered"]},
            "false_alarms": own["authentic_flagged"] | {"n": own["n_authentic"]},
        }
        for name, own in figures.items()
        if own["auc"] is not None
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="manifest.csv of pictures")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--only", default=",".join(STILLS), help="modules of analyses, with commas between them")
    parser.add_argument("--most", type=int, help="read at most this many pictures")
    parser.add_argument(
        "--reliability", type=Path, help="reliability.json to write these figures into, beside what it has"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for evidence.md and evidence.json")
    options = parser.parse_args()
    rows = read_rows(options.data, options.split, options.most)
    pictures = [read_picture(options.data.parent / row["path"]) for row in rows]
    figures = {}
    for module in options.only.split(","):
        analysis = import_module(f"forensics.analysis.{module}").ANALYSIS
        figures[analysis.name] = measure(analysis, pictures, rows)
        print(table({analysis.name: figures[analysis.name]}).splitlines()[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "evidence.md").write_text(table(figures), encoding="utf-8")
    data = f"{options.data.parent.name} {options.split}"
    if options.reliability:
        before = json.loads(options.reliability.read_text(encoding="utf-8")) if options.reliability.is_file() else {}
        entries = before.get("analyses", {}) | reliability_entries(figures, data)
        options.reliability.write_text(reliability_text(entries), encoding="utf-8")
    record = {"data": options.data.parent.name, "split": options.split, "analyses": figures}
    (options.output / "evidence.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
