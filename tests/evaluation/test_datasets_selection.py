"""Splits and limited samples: seeded, stratified, independent of order."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.datasets import filter_items
from eval.datasets.selection import apportion
from forensics.common.errors import UsageError
from forensics.common.manifest import Item


def _items():
    """300 reals and 600 fakes of three generators, 100, 200 and 300; every third of each is dev."""
    counts = {(0, ""): 300, (1, "a"): 100, (1, "b"): 200, (1, "c"): 300}
    return [
        Item(Path(f"/d/{label}{generator}/{i:03d}.png"), label, generator, "d", split="dev" if i % 3 == 0 else "test")
        for (label, generator), n in counts.items()
        for i in range(n)
    ]


def test_splits():
    items = _items()
    assert {item.split for item in filter_items(items, "dev")} == {"dev"}
    assert len(filter_items(items, "dev")) + len(filter_items(items, "test")) == len(items)
    assert filter_items(items, "all") == sorted(items, key=lambda item: item.path)


def test_an_empty_split_names_those_that_are_not():
    items = [*_items(), Item(Path("/d/x.png"), 0)]
    with pytest.raises(UsageError, match="no item is in the split 'train'") as caught:
        filter_items(items, "train")
    assert "dev (301), no split (1), test (599)" in caught.value.hint
    with pytest.raises(UsageError):
        filter_items([], "all")


@pytest.mark.parametrize(("split", "limit"), [("val", None), ("", None), ("all", 0), ("all", -3)])
def test_bad_arguments(split, limit):
    with pytest.raises(UsageError):
        filter_items(_items(), split, limit)


def test_the_sample_keeps_the_shares():
    kept = filter_items(_items(), "all", 90, seed=3)
    assert Counter((item.label, item.generator) for item in kept) == {
        (0, ""): 30,
        (1, "a"): 10,
        (1, "b"): 20,
        (1, "c"): 30,
    }


def test_the_sample_depends_on_the_seed_and_not_on_the_order():
    items = _items()
    shuffled = items.copy()
    random.Random(1).shuffle(shuffled)
    assert filter_items(items, "all", 50, seed=5) == filter_items(shuffled, "all", 50, seed=5)
    assert filter_items(items, "all", 50, seed=5) != filter_items(items, "all", 50, seed=6)


def test_a_small_limit_loses_no_label_and_then_no_generator():
    items = [*_items(), *(Item(Path(f"/rare/{i}.png"), 1, "rare", "d") for i in range(2))]
    assert {item.label for item in filter_items(items, "all", 2)} == {0, 1}
    assert {item.generator for item in filter_items(items, "all", 8)} == {"", "a", "b", "c", "rare"}
    assert len(filter_items(items, "all", 1)) == 1


def test_a_limit_above_the_size_keeps_all():
    assert len(filter_items(_items(), "all", 10_000)) == 900


def test_data_sets_are_strata_too():
    items = [Item(Path(f"/{d}/{i}.png"), 0, "", d) for d, n in (("big", 90), ("small", 10)) for i in range(n)]
    assert Counter(item.dataset for item in filter_items(items, "all", 10)) == {"big": 9, "small": 1}


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 10**6), min_size=1), st.data())
def test_apportionment_is_exact_fair_and_within_the_sizes(sizes, data):
    total = data.draw(st.integers(0, sum(sizes.values())))
    shares = apportion(sizes, total)
    assert sum(shares.values()) == total
    assert all(0 <= shares[key] <= sizes[key] for key in sizes)
    if total >= len(sizes):
        assert min(shares.values()) >= 1
    quotas = {key: total * size / sum(sizes.values()) for key, size in sizes.items()}
    if min(quotas.values()) >= 1:  # Hamilton's method: no share is a whole item off its quota
        assert all(abs(shares[key] - quotas[key]) < 1 + 1e-6 for key in sizes)


def test_apportionment_raises_the_smallest_at_the_cost_of_the_largest():
    assert apportion({"a": 98, "b": 1, "c": 1}, 10) == {"a": 8, "b": 1, "c": 1}
    assert apportion({"a": 98, "b": 1, "c": 1}, 2) == {"a": 2, "b": 0, "c": 0}
