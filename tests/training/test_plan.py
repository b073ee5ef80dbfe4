"""An epoch's plan: pairs that belong together, families balanced and repeated with measure, the same for the same seed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.manifest import Item
from forensics.training.plan import Pair, plan_epoch

ALL_KINDS = {"self": 0.4, "warp": 0.1, "part": 0.2, "face": 0.3}


def items_of(**sizes: tuple[int, int]) -> list[Item]:
    """Data sets by name with (reals, fakes)."""
    return [
        Item(Path(f"/{name}/{label}/{i}.png"), label, dataset=name)
        for name, counts in sizes.items()
        for label, count in enumerate(counts)
        for i in range(count)
    ]


def people(n: int, dataset: str = "faces", each: int = 2) -> list[Item]:
    """`each` reals and as many fakes of every one of n persons, who is their source and identity."""
    return [
        Item(Path(f"/{dataset}/{i}-{label}-{k}.png"), label, dataset=dataset, source=f"s{i}", identity=f"p{i}")
        for i in range(n)
        for label in (0, 1)
        for k in range(each)
    ]


def stored(pairs: list[Pair]) -> list[Pair]:
    """Pairs whose pictures are those of the data sets."""
    return [pair for pair in pairs if pair.blending is None]


def shown(pairs: list[Pair]) -> list[int]:
    """What of the data sets is shown as it is."""
    return [i for pair in stored(pairs) for i in (pair.real, pair.fake) if i is not None]


def counts_of(items: list[Item], pairs: list[Pair]) -> Counter[tuple[str, int]]:
    return Counter((items[i].dataset, items[i].label) for i in shown(pairs))


families = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.integers(0, 25), st.integers(0, 25)).filter(any),
    min_size=1,
    max_size=4,
)
shares = st.dictionaries(st.sampled_from(["self", "warp", "part", "face"]), st.floats(0, 2), max_size=4)


@settings(deadline=None)
@given(families, st.integers(0, 3), st.floats(0, 1), st.floats(1, 5))
def test_the_plan_is_what_its_description_says(sizes, epoch, floor, repeat):
    items = items_of(**sizes)
    pairs = plan_epoch(items, epoch, 0, floor, repeat)
    found = counts_of(items, pairs)
    smaller = {name: min(count for count in counts if count) for name, counts in sizes.items()}
    largest = max([smaller[name] for name, counts in sizes.items() if all(counts)] or smaller.values())
    smaller = {name: min(size, largest) for name, size in smaller.items()}  # one class counts as large as two, at most
    for name, counts in sizes.items():
        wanted = round(max(smaller[name], min(repeat * smaller[name], floor * largest)))
        assert [found[name, label] for label in (0, 1)] == [wanted if count else 0 for count in counts]
    # None is drawn twice before all of its kind were drawn once.
    times = Counter(shown(pairs))
    for name in sizes:
        for label in (0, 1):
            drawn = [times[i] for i, item in enumerate(items) if (item.dataset, item.label) == (name, label)]
            if drawn:
                assert max(drawn) - min(drawn) <= 1


@settings(deadline=None)
@given(families, st.integers(0, 3), st.floats(0, 1), shares)
def test_a_pair_is_a_real_and_a_fake_of_one_data_set(sizes, epoch, floor, blendings):
    items = items_of(**sizes)
    for pair in plan_epoch(items, epoch, 0, floor, 3.0, None, blendings):
        sides = [(i, label) for label, i in enumerate((pair.real, pair.fake)) if i is not None]
        assert sides
        assert all(items[i].label == label for i, label in sides)
        name = items[sides[0][0]].dataset
        assert {items[i].dataset for i, _ in sides} == {name}
        if pair.blending is None:
            assert pair.donors == ()
            assert len(sides) == sum(count > 0 for count in sizes[name])
        else:
            assert blendings[pair.blending] > 0
            assert (pair.real is not None, pair.fake) == (True, None)
            assert bool(pair.donors) == (pair.blending in ("part", "face"))
            assert all((items[i].dataset, items[i].label) == (name, 0) for i in pair.donors)


@settings(deadline=None)
@given(families, st.floats(0, 1), shares, st.none() | st.integers(1, 20))
def test_every_epoch_has_as_many_pairs_of_every_kind(sizes, floor, blendings, cap):
    items = items_of(**sizes)
    plans = [plan_epoch(items, epoch, 3, floor, 3.0, cap, blendings) for epoch in range(3)]
    kinds = [Counter((pair.blending, pair.real is None, pair.fake is None) for pair in plan) for plan in plans]
    assert kinds[0] == kinds[1] == kinds[2]


def test_a_worked_example():
    items = items_of(large=(100, 140), small=(10, 12), tiny=(2, 9))
    found = counts_of(items, plan_epoch(items, 0, 0, 0.3, 3.0))
    # 30 pairs are three tenths of the largest, and three times the small; the tiny one stops at three times its 2.
    assert found == {
        ("large", 0): 100, ("large", 1): 100, ("small", 0): 30, ("small", 1): 30, ("tiny", 0): 6, ("tiny", 1): 6,
    }  # fmt: skip


def test_pseudo_fakes_keep_the_balance_of_the_data_sets():
    items = items_of(large=(100, 140), small=(10, 12), fakes=(0, 50), reals=(20, 0))
    pairs = plan_epoch(items, 0, 0, 0.3, 3.0, None, ALL_KINDS)
    assert counts_of(items, pairs) == {
        ("large", 0): 100, ("large", 1): 100, ("small", 0): 30, ("small", 1): 30, ("fakes", 1): 50,
    }  # fmt: skip
    made = Counter((items[p.real].dataset, p.blending) for p in pairs if p.blending)
    wanted = {"large": 100, "small": 30, "reals": 30}
    assert made == {(name, kind): round(share * n) for name, n in wanted.items() for kind, share in ALL_KINDS.items()}
    # Of reals in turn: none twice before all were once.
    times = Counter(p.real for p in pairs if p.blending and items[p.real].dataset == "large")
    assert len(times) == sum(times.values()) == 100


@pytest.mark.parametrize("none", [None, {}, {"self": 0.0, "face": 0.0}])
def test_without_pseudo_fakes_reals_alone_are_halves_of_pairs(none):
    items = items_of(both=(10, 10), reals=(8, 0))
    pairs = plan_epoch(items, 0, 0, 0.3, 3.0, None, none)
    assert counts_of(items, pairs) == {("both", 0): 10, ("both", 1): 10, ("reals", 0): 8}
    assert sum(pair.fake is None for pair in pairs) == 8
    assert not any(pair.blending for pair in pairs)


def test_a_cap_bounds_every_family():
    items = items_of(large=(100, 140), small=(10, 12))
    found = counts_of(items, plan_epoch(items, 0, 0, 1.0, 3.0, 25))
    assert found == {("large", 0): 25, ("large", 1): 25, ("small", 0): 25, ("small", 1): 25}


@pytest.mark.parametrize("epoch", range(3))
def test_a_fake_stands_beside_its_own_real(epoch):
    items = people(12)
    pairs = plan_epoch(items, epoch, 0, 0.3, 3.0)
    assert len(pairs) == 24
    assert [pair for pair in pairs if items[pair.real].source != items[pair.fake].source] == []
    # With several fakes of each real, too, as many as reals allow.
    more = [*items, *(replace(item, path=item.path.with_suffix(".jpg")) for item in items if item.label)]
    pairs = plan_epoch(more, epoch, 0, 0.3, 3.0)
    drawn = Counter(more[pair.fake].source for pair in pairs)
    together = sum(more[pair.real].source == more[pair.fake].source for pair in pairs)
    assert together == sum(min(count, 2) for count in drawn.values())


def test_fakes_without_a_source_are_beside_any_real_of_their_data_set():
    items = [replace(item, source="") for item in people(6)] + people(6, "linked")
    pairs = plan_epoch(items, 0, 0, 1.0, 1.0)
    assert len(pairs) == 24
    strangers = [pair for pair in pairs if items[pair.real].dataset == "faces"]
    assert len({pair.real for pair in strangers}) == len({pair.fake for pair in strangers}) == 12
    # Empty sources are not one source.
    assert len({items[pair.real].identity == items[pair.fake].identity for pair in strangers}) == 2


def test_donors_are_other_people():
    by_source = [replace(item, identity="") for item in people(20, "sources", 5)]
    by_identity = [replace(item, source="") for item in people(20, "identities", 5)]
    items = by_source + by_identity
    pairs = plan_epoch(items, 0, 0, 1.0, 1.0, None, {"part": 1.0, "face": 1.0})
    made = [pair for pair in pairs if pair.blending]
    assert len(made) == 400
    for pair in made:
        real = items[pair.real]
        for donor in (items[i] for i in pair.donors):
            assert (real.dataset, donor.label) == (donor.dataset, 0)
            assert (real.source or real.identity) != (donor.source or donor.identity)
    # There is something to choose from, and everyone is chosen from.
    assert all(len(pair.donors) > 1 for pair in made)
    assert len({i for pair in made for i in pair.donors}) == 200


def test_a_data_set_of_one_person_is_blended_with_its_own():
    pairs = plan_epoch(people(1, each=3), 0, 0, 0.3, 3.0, None, {"face": 1.0})
    made = [pair for pair in pairs if pair.blending]
    assert len(made) == 3
    assert all(len(pair.donors) == 1 and pair.donors[0] in (0, 1, 2) for pair in made)


@pytest.mark.parametrize("blendings", [None, ALL_KINDS])
def test_the_same_seed_and_epoch_give_the_same_plan_and_others_do_not(blendings):
    items = items_of(a=(30, 40), b=(5, 5))
    first = plan_epoch(items, 2, 7, 0.3, 3.0, None, blendings)
    assert plan_epoch(items, 2, 7, 0.3, 3.0, None, blendings) == first
    assert plan_epoch(items, 3, 7, 0.3, 3.0, None, blendings) != first
    assert plan_epoch(items, 2, 8, 0.3, 3.0, None, blendings) != first


def test_epochs_show_all_of_the_larger_class_in_the_end():
    items = items_of(a=(10, 40))
    assert {i for epoch in range(30) for i in shown(plan_epoch(items, epoch, 0, 0.3, 3.0))} == set(range(50))


def test_families_and_kinds_are_mixed():
    items = items_of(a=(200, 200), b=(200, 200))
    pairs = plan_epoch(items, 0, 0, 0.3, 3.0, None, {"self": 1.0})
    for start in range(0, 800, 100):
        found = Counter((items[p.real].dataset, p.blending) for p in pairs[start : start + 100])
        assert len(found) == 4
        assert all(10 <= count <= 45 for count in found.values())


def test_what_is_left_out_takes_its_pairs_along_and_changes_nothing_else():
    items = items_of(large=(60, 60), small=(30, 300), reals=(500, 0))
    shares: dict[str, float] = {"self": 0.5}

    def found(left_out: tuple[str, ...], blendings: dict[str, float]) -> Counter[tuple[str, str]]:
        pairs = plan_epoch(items, 0, 0, 0.3, 3.0, None, blendings, left_out)
        kinds = {pair: pair.blending or ("pair" if None not in (pair.real, pair.fake) else "half") for pair in pairs}
        indices = {pair: pair.fake if pair.real is None else pair.real for pair in pairs}
        return Counter((items[indices[pair]].dataset, kinds[pair]) for pair in pairs)

    whole = found((), shares)
    # Reals alone count as large as the largest set of two classes.
    assert whole == {
        ("large", "pair"): 60, ("large", "self"): 30, ("small", "pair"): 30, ("small", "self"): 15, ("reals", "self"): 30,
    }  # fmt: skip
    assert found(("small",), shares) == {key: n for key, n in whole.items() if key != ("small", "pair")}
    # Its reals stay, without pseudo-fakes too.
    assert found(("large",), {}) == {("large", "half"): 60, ("small", "pair"): 30, ("reals", "half"): 60}


def test_reals_that_come_alone_are_capped_and_others_are_not():
    items = items_of(large=(60, 60), small=(30, 300), reals=(500, 0))
    found = counts_of(items, plan_epoch(items, 0, 0, 0.3, 3.0, None, None, ("large",), 7))
    assert found == {("large", 0): 7, ("small", 0): 30, ("small", 1): 30, ("reals", 0): 7}
    assert not counts_of(items, plan_epoch(items, 0, 0, 0.3, 3.0, None, None, ("large",), 0)).keys() & {("large", 0)}
