"""An epoch's plan: balanced, repeated with measure, the same for the same seed."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.manifest import Item
from forensics.training.plan import plan_epoch


def items_of(**sizes: tuple[int, int]) -> list[Item]:
    """Data sets by name with (reals, fakes)."""
    return [
        Item(Path(f"/{name}/{label}/{i}.png"), label, dataset=name)
        for name, counts in sizes.items()
        for label, count in enumerate(counts)
        for i in range(count)
    ]


def counts_of(items: list[Item], order: list[int]) -> Counter[tuple[str, int]]:
    return Counter((items[i].dataset, items[i].label) for i in order)


families = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.integers(0, 25), st.integers(0, 25)).filter(any),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(families, st.integers(0, 3), st.floats(0, 1), st.floats(1, 5))
def test_the_plan_is_what_its_description_says(sizes, epoch, floor, repeat):
    items = items_of(**sizes)
    order = plan_epoch(items, epoch, 0, floor, repeat)
    found = counts_of(items, order)
    smaller = {name: min(count for count in counts if count) for name, counts in sizes.items()}
    largest = max(smaller.values())
    for name, counts in sizes.items():
        wanted = round(max(smaller[name], min(repeat * smaller[name], floor * largest)))
        assert [found[name, label] for label in (0, 1)] == [wanted if count else 0 for count in counts]
    # None is drawn twice before all of its kind were drawn once.
    times = Counter(order)
    for name in sizes:
        for label in (0, 1):
            drawn = [times[i] for i, item in enumerate(items) if (item.dataset, item.label) == (name, label)]
            if drawn:
                assert max(drawn) - min(drawn) <= 1


def test_a_worked_example():
    items = items_of(large=(100, 140), small=(10, 12), tiny=(2, 9))
    found = counts_of(items, plan_epoch(items, 0, 0, 0.3, 3.0))
    # 30 pairs are three tenths of the largest, and three times the small; the tiny one stops at three times its 2.
    assert found == {
        ("large", 0): 100, ("large", 1): 100, ("small", 0): 30, ("small", 1): 30, ("tiny", 0): 6, ("tiny", 1): 6,
    }  # fmt: skip


def test_a_cap_bounds_every_family():
    items = items_of(large=(100, 140), small=(10, 12))
    found = counts_of(items, plan_epoch(items, 0, 0, 1.0, 3.0, 25))
    assert found == {("large", 0): 25, ("large", 1): 25, ("small", 0): 25, ("small", 1): 25}


def test_a_data_set_of_one_class_contributes_that_alone():
    items = items_of(both=(10, 10), reals=(8, 0))
    assert counts_of(items, plan_epoch(items, 0, 0, 0.3, 3.0)) == {("both", 0): 10, ("both", 1): 10, ("reals", 0): 8}


def test_the_same_seed_and_epoch_give_the_same_plan_and_others_do_not():
    items = items_of(a=(30, 40), b=(5, 5))
    first = plan_epoch(items, 2, 7, 0.3, 3.0)
    assert plan_epoch(items, 2, 7, 0.3, 3.0) == first
    assert plan_epoch(items, 3, 7, 0.3, 3.0) != first
    assert plan_epoch(items, 2, 8, 0.3, 3.0) != first


def test_epochs_show_all_of_the_larger_class_in_the_end():
    items = items_of(a=(10, 40))
    shown = {i for epoch in range(30) for i in plan_epoch(items, epoch, 0, 0.3, 3.0)}
    assert shown == set(range(50))


def test_classes_and_families_are_mixed():
    items = items_of(a=(200, 200), b=(200, 200))
    order = plan_epoch(items, 0, 0, 0.3, 3.0)
    for start in range(0, 800, 100):
        found = counts_of(items, order[start : start + 100])
        assert len(found) == 4
        assert all(10 <= count <= 45 for count in found.values())


@pytest.mark.parametrize("epoch", range(3))
def test_length_is_the_same_in_every_epoch(epoch):
    items = items_of(a=(31, 17), b=(3, 90), c=(0, 4))
    assert len(plan_epoch(items, epoch, 1, 0.3, 3.0)) == len(plan_epoch(items, 0, 1, 0.3, 3.0))
