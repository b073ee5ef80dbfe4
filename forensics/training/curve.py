"""The training curve as one SVG: loss, and AUC of each dev family after each epoch."""

import json
from html import escape
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 720, 320, 48
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")


def curve_svg(log: Path) -> str:
    """An SVG document drawn from log.jsonl; both axes in [0, 1] (the loss is cut off at 1)."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for key, value in row.items():
            if key == "loss" or key.startswith("dev_auc"):
                series.setdefault(key, []).append((float(row["epoch"]), float(value)))
    last = max((x for points in series.values() for x, _ in points), default=1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(tick)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - 180}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for number, (name, points) in enumerate(sorted(series.items())):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{_x(x, last):.1f},{_y(min(y, 1.0)):.1f}" for x, y in sorted(points))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - 170}" y="{MARGIN + 16 * number}" fill="{colour}">{escape(name)}</text>')
    parts.append(
        f'<text x="{(WIDTH - 130) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">epoch (0 to {last:g})</text></svg>\n'
    )
    return "\n".join(parts)


def _x(epoch: float, last: float) -> float:
    return MARGIN + (WIDTH - 180 - MARGIN) * epoch / max(last, 1e-9)


def _y(value: float) -> float:
    return MARGIN / 2 + (HEIGHT - MARGIN * 1.5) * (1 - value)
