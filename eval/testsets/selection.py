"""Which rows become part of a set: each file once, only what can be decoded whole, as many reals as fakes."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.testsets.balance import choose_rows
from eval.testsets.inputs import Row, run_in_order
from eval.testsets.options import BuildOptions
from eval.testsets.pictures import Checked, Decoder
from forensics.common.errors import UsageError
from forensics.common.progress import Progress

DUPLICATE, BOTH_LABELS = "the same file once more", "the same file with both labels"
# Above this share of all rows in one group, the groups are why a split is empty.
LARGE_GROUP_SHARE = 0.5


@dataclass(frozen=True)
class Selection:
    """Indices of the chosen rows with what decoding them showed; why others are not chosen; what is uneven."""

    chosen: tuple[int, ...]
    checked: Mapping[int, Checked]
    reasons: Mapping[int, str]
    notes: tuple[str, ...]


def repeated_files(rows: Sequence[Row]) -> dict[int, str]:
    """Asked rows whose bytes are there already, or are there with the other label too (none of these can be right)."""
    by_hash: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.sha256:
            by_hash[row.sha256].append(index)
    reasons: dict[int, str] = {}
    for same in by_hash.values():
        asked = [i for i in same if rows[i].is_asked and not rows[i].problem]
        if len({rows[i].item.label for i in same}) > 1:
            reasons |= dict.fromkeys(asked, BOTH_LABELS)
        else:
            reasons |= dict.fromkeys(asked[1:], DUPLICATE)
    return reasons


def select_rows(
    rows: Sequence[Row],
    splits: Sequence[str],
    options: BuildOptions,
    decoder: Decoder,
    with_traits: bool,
    workers: int,
    progress: Progress,
) -> Selection:
    """Balance, decode what was chosen, and balance again without what could not be decoded, until all can."""
    checked: dict[int, Checked] = {}
    bad: dict[int, str] = {}
    while True:
        choice = choose_rows(rows, splits, bad, options.per_family, options.seed)
        new = [i for i in choice.chosen if i not in checked]
        if not new:
            return Selection(choice.chosen, checked, {**choice.reasons, **bad}, choice.notes)
        results = run_in_order(lambda i: decoder.check(rows[i], with_traits), new, workers, progress, "checking files")
        checked |= dict(zip(new, results, strict=True))
        bad |= {i: result.problem for i, result in zip(new, results, strict=True) if result.problem}


def require_every_split(
    rows: Sequence[Row], splits: Sequence[str], selection: Selection, options: BuildOptions, largest_group: float
) -> None:
    """Raise UsageError, saying what there is, where a split that was asked for cannot be balanced."""
    held = {splits[i] for i in selection.chosen}
    missing = [name for name in options.shares if name not in held] if options.from_split is None else []
    if held and not missing:
        return
    bad = {i for i, one in selection.checked.items() if one.problem}
    there = Counter((split, rows[i].item.label) for i, split in enumerate(splits) if split and i not in bad)
    names = missing or sorted(options.taken_splits)
    places = ", ".join(f"{name}: {there[name, 0]} real, {there[name, 1]} fake" for name in names)
    hint = "each split needs reals and fakes, of pictures or of clips alike"
    given = sorted({row.given_split for row in rows if row.given_split})
    if given and not set(given) <= options.taken_splits:
        hint = f"rows of DATA are in the split(s) {', '.join(given)}: choose by --from-split or --splits"
    elif largest_group > LARGE_GROUP_SHARE:
        hint = (
            f"{100 * largest_group:.0f} % of the rows are linked by sources or identities, and a group is never divided"
        )
    raise UsageError(f"no balanced set can be made ({places})", hint)
