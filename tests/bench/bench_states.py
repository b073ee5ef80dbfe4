"""What every analysis says of whole files: how often an unaltered one is out of the ordinary, and how often a fake.

    python tests/bench/bench_states.py --data clips/manifest.csv [--data ...] [--split dev] --output out/states

Each file goes through `forensics inspect` as a user's does. Shares are of the files that an analysis could judge (not
`inconclusive`, not `not applicable`), with Wilson's interval; files that share a source are not independent, so the
sources are counted too. Writes states.md and states-WHICH.json. Stopped, it goes on after the last file that it has read.
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

from forensics.common.files import write_atomic
from forensics.common.manifest import Item, read_manifest
from forensics.common.metrics import share_with_interval
from forensics.common.progress import Progress
from forensics.config import InspectConfig
from forensics.inspection import Inspector

UNUSUAL = ("suspicious", "inconsistent")
NOT_JUDGED = ("inconclusive", "not applicable")
States = dict[str, dict[str, str]]  # by path: by analysis


def read_states(items: list[Item], config: InspectConfig, kept: Path) -> States:
    """States of all analyses of every file; those in `kept` are not inspected again."""
    states: States = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    with Inspector(config) as inspector, Progress(False).task("inspecting", len(items)) as advance:
        for item in items:
            if str(item.path) not in states:
                record = inspector.inspect(item.path).record
                states[str(item.path)] = {part.analysis: part.state for part in record.findings}
                write_atomic(kept, json.dumps(states))
            advance(1)
    return states


def table(items: list[Item], states: States) -> str:
    """A line per analysis: shares of reals and of fakes that are called suspicious or inconsistent."""
    lines = [
        "| analysis | reals judged (sources) | out of the ordinary | fakes judged (sources) | out of the ordinary |"
    ]
    lines.append("|---|---|---|---|---|")
    names = list(dict.fromkeys(name for item in items for name in states[str(item.path)]))
    for name in names:
        cells = [name]
        for label in (0, 1):
            own = [
                (item.source or item.path.name, states[str(item.path)][name])
                for item in items
                if item.label == label and name in states[str(item.path)]
            ]
            judged = [(source, state) for source, state in own if state not in NOT_JUDGED]
            cells.append(f"{len(judged)} of {len(own)} ({len({source for source, _ in judged})})")
            if not judged:
                cells.append("-")
                continue
            unusual = [state for _, state in judged if state in UNUSUAL]
            share = share_with_interval(len(unusual), len(judged))
            kinds = ", ".join(f"{count} {state}" for state, count in sorted(Counter(unusual).items()))
            cells.append(
                f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"
                + (f": {kinds}" if kinds else "")
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def flagged_files(items: list[Item], states: States) -> str:
    """How many analyses found something, by the number of files of each class."""
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for item in items:
        counts[item.label][sum(state in UNUSUAL for state in states[str(item.path)].values())] += 1
    return "\n".join(
        f"{word}: " + ", ".join(f"{number} of {count} files" for number, count in sorted(counts[label].items()))
        for label, word in ((0, "analyses that flag a real"), (1, "analyses that flag a fake"))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, metavar="MANIFEST")
    parser.add_argument("--split", help="this split alone")
    parser.add_argument("--only", default="", help="names of analyses, with commas between them")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    items = [
        item
        for manifest in options.data
        for item in read_manifest(manifest)
        if options.split is None or item.split == options.split
    ]
    options.output.mkdir(parents=True, exist_ok=True)
    config = InspectConfig(only=tuple(name for name in options.only.split(",") if name))
    which = options.only.replace(",", "-") or "all"
    states = read_states(items, config, options.output / f"states-{which}.json")
    text = table(items, states) + "\n" + flagged_files(items, states) + "\n"
    write_atomic(options.output / "states.md", text)
    print(text)


if __name__ == "__main__":
    main()
