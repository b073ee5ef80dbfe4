"""Groups, splits and balance of test sets: nobody is on two sides, and both classes weigh alike."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.testsets.balance import choose_rows, even_quotas
from eval.testsets.groups import group_codes, links_of, place_rows
from eval.testsets.inputs import Row, family_of
from eval.testsets.options import BuildOptions, parse_encode, parse_splits
from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_text
from forensics.common.manifest import Item

TEST_ONLY = {"test": 1.0}
THREE = {"train": 0.6, "dev": 0.2, "test": 0.2}


def row(name: str, label: int = 0, asked: bool = True, **columns) -> Row:
    extra = {key: columns.pop(key) for key in ("donor", "target", "video", "original", "attack") if key in columns}
    item = Item(path=Path(f"/{name}.png"), label=label, extra=extra, **{"dataset": "d", **columns})
    return Row(item, family_of(item), "picture", asked, sha256=sha256_of_text(name))


def place(rows, shares=TEST_ONLY, taken=frozenset({"test"}), crossing="error", seed=0):
    return place_rows(rows, shares, taken, crossing, seed)


def groups(rows) -> list[int]:
    return group_codes([links_of(one.item, one.sha256) for one in rows]).tolist()


def test_groups_are_chains_over_source_identity_donor_and_bytes():
    rows = [
        row("a", source="s1"),
        row("b", source="s1", identity="p1"),
        row("c", identity="p1"),
        row("d", 1, source="s9", donor="p1"),
        row("e", 1, source="s8", target="s9"),
        row("f", source="s7"),
        row("g"),
        row("h"),
    ]
    codes = groups(rows)
    assert len(set(codes[:5])) == 1
    assert len(set(codes[5:])) == 3, "rows that share nothing stay apart, those without any name too"


def test_a_copy_belongs_to_the_file_it_was_made_from():
    assert len(set(groups([row("a"), row("attacked", original=sha256_of_text("a"))]))) == 1


def test_a_composite_source_belongs_to_each_of_its_photographs():
    codes = groups([row("a", source="x1"), row("b", source="x1+x2"), row("c", source="x2"), row("d", source="x3")])
    assert codes[0] == codes[1] == codes[2] != codes[3]


def test_the_same_number_under_two_methods_is_one_source_but_two_videos():
    same = [row("a", 1, generator="deepfakes", source="000", video="Deepfakes/000_003"),
            row("b", 1, generator="faceswap", source="000", video="FaceSwap/000_003")]  # fmt: skip
    other = [row("a", 1, video="Deepfakes/000_003"), row("b", 1, video="FaceSwap/000_003")]
    assert len(set(groups(same))) == 1
    assert len(set(groups(other))) == 2


def test_rows_keep_their_split_and_others_follow_their_group():
    rows = [
        row("kept", source="s1", split="test"),
        row("follows", 1, source="s1"),
        row("seed of training", source="s2", split="train", asked=False),
        row("must not be tested", 1, source="s2"),
        row("free", source="s3"),
    ]
    placement = place(rows)
    assert placement.splits == ("test", "test", "", "", "test")
    assert placement.reasons == {3: "a source or identity that it shares is in the split train"}


def crossed_rows():
    return [
        row("in test", source="s1", split="test"),
        row("in train", source="s1", split="train", asked=False),
        row("undecided", source="s1"),
        row("other", source="s2", split="test"),
    ]


def test_a_group_in_two_splits_is_an_error_that_names_it():
    with pytest.raises(UsageError) as caught:
        place(crossed_rows())
    assert "s1" in caught.value.message
    assert "in test.png in test" in caught.value.message
    assert "--crossing drop" in caught.value.hint


def test_crossing_drop_leaves_the_group_out_and_keep_takes_the_rows_that_have_the_split():
    dropped = place(crossed_rows(), crossing="drop")
    assert dropped.splits == ("", "", "", "test")
    assert set(dropped.reasons) == {0, 2}
    kept = place(crossed_rows(), crossing="keep")
    assert kept.splits == ("test", "", "", "test")
    assert kept.n_crossing == 1
    assert set(kept.reasons) == {2}


def test_crossing_keep_never_puts_a_source_on_two_sides_of_the_set():
    rows = [row("a", source="s1", split="test"), row("b", source="s1", split="train")]
    with pytest.raises(UsageError, match="two splits"):
        place(rows, taken=frozenset({"train", "test"}), crossing="keep")


def test_a_crossing_group_that_is_not_asked_for_is_nobodys_business():
    rows = [row("a", source="s1", split="test", asked=False), row("b", source="s1", split="train", asked=False),
            row("c", source="s2")]  # fmt: skip
    assert place(rows).splits == ("", "", "test")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 9), st.sampled_from(["", "train", "test"])),
        min_size=1, max_size=60,
    ),
    st.integers(0, 5),
)  # fmt: skip
def test_no_source_or_identity_is_ever_on_two_sides(drawn, seed):
    rows = [
        row(str(i), label, source=f"s{source}", identity=f"p{identity}", split=split, generator="g" if label else "")
        for i, (label, source, identity, split) in enumerate(drawn)
    ]
    splits = place(rows, THREE, frozenset(THREE), "drop", seed).splits
    sides = defaultdict(set)
    for one, split in zip(rows, splits, strict=True):
        assert split == one.given_split or not split or not one.given_split
        for name in (one.item.source, one.item.identity):
            sides[name] |= {split} - {""}
    assert all(len(found) <= 1 for found in sides.values())


def test_shares_are_met_in_every_family():
    rows = [row(f"r{i}", source=f"r{i}") for i in range(100)]
    rows += [row(f"{g}{i}", 1, generator=g, source=f"{g}{i}") for g in ("gan", "diffusion") for i in range(50)]
    splits = place(rows, THREE, frozenset(THREE)).splits
    counts = Counter((one.family, split) for one, split in zip(rows, splits, strict=True))
    assert counts == {
        ("d", "train"): 60, ("d", "dev"): 20, ("d", "test"): 20,
        ("gan", "train"): 30, ("gan", "dev"): 10, ("gan", "test"): 10,
        ("diffusion", "train"): 30, ("diffusion", "dev"): 10, ("diffusion", "test"): 10,
    }  # fmt: skip


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    rows = [row(f"r{i}", source=f"s{i // 2}") for i in range(60)]
    first = dict(zip([one.item.path for one in rows], place(rows, THREE, frozenset(THREE)).splits, strict=True))
    turned = rows[::-1]
    assert first == dict(
        zip([one.item.path for one in turned], place(turned, THREE, frozenset(THREE)).splits, strict=True)
    )
    assert tuple(first.values()) != place(rows, THREE, frozenset(THREE), seed=1).splits


def test_quotas_are_as_even_as_sizes_allow():
    assert even_quotas({"a": 10, "b": 3, "c": 10}, 15) == {"a": 6, "b": 3, "c": 6}
    assert even_quotas({"a": 5, "b": 5, "c": 5}, 7) == {"a": 3, "b": 2, "c": 2}
    assert even_quotas({"a": 2}, 0) == {"a": 0}
    assert even_quotas({}, 0) == {}


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 30), max_size=6), st.integers(0, 200))
def test_quotas_take_what_there_is_and_differ_by_one_at_most(sizes, n):
    quotas = even_quotas(sizes, n)
    assert sum(quotas.values()) == min(n, sum(sizes.values()))
    assert all(0 <= quotas[name] <= sizes[name] for name in sizes)
    open_families = [quotas[name] for name in sizes if quotas[name] < sizes[name]]
    if open_families:
        assert max(quotas.values()) <= min(open_families) + 1


def balanced_rows():
    rows = [row(f"r{i}", source=f"r{i}", dataset="faces") for i in range(30)]
    rows += [row(f"x{i}", 1, generator="gan", source=f"x{i}") for i in range(12)]
    return rows + [row(f"y{i}", 1, generator="flow", source=f"y{i}") for i in range(8)]


def chosen_families(rows, choice):
    return Counter(rows[i].family for i in choice.chosen)


def test_the_larger_class_is_cut_and_the_choice_says_so():
    rows = balanced_rows()
    choice = choose_rows(rows, ["test"] * len(rows), (), None, 0)
    assert chosen_families(rows, choice) == {"faces": 20, "gan": 12, "flow": 8}
    assert set(choice.reasons.values()) == {"the other class has fewer in this split"}
    assert choice.notes == ("test, real pictures: cut to what the other class has: faces 20 of 30",)


def test_per_family_caps_and_a_short_family_is_named():
    rows = balanced_rows()
    choice = choose_rows(rows, ["test"] * len(rows), (), 10, 0)
    assert chosen_families(rows, choice) == {"faces": 10, "gan": 5, "flow": 5}
    assert any("fewer than the 10 asked for: flow has 8" in note for note in choice.notes)
    smaller = choose_rows(rows, ["test"] * len(rows), (), 4, 0)
    reals = {i for i in choice.chosen if rows[i].item.label == 0}
    assert {i for i in smaller.chosen if rows[i].item.label == 0} < reals, "a smaller sample is part of the larger one"


def test_a_class_that_is_alone_gives_nothing_and_says_so():
    rows = [row(f"r{i}", source=f"r{i}") for i in range(3)]
    choice = choose_rows(rows, ["test"] * 3, (), None, 0)
    assert choice.chosen == ()
    assert choice.notes == ("test, real pictures: 3 left out, for there is no fake picture to balance them with",)


def test_an_attacked_fake_is_a_family_of_its_own():
    assert row("a", 1, generator="gan", attack="pgd").family == "gan+pgd"
    assert row("a", 0, dataset="faces", attack="pgd").family == "faces+pgd"


@pytest.mark.parametrize(
    "text", ["test", "test=2", "test=0.5", "valid=1", "test=0.5,test=0.5", "test=nan", "train=-1,test=2", ""]
)
def test_shares_that_make_no_split_are_refused(text):
    with pytest.raises(UsageError, match="--splits"):
        parse_splits(text)


def test_shares_come_in_the_order_of_splits():
    assert list(parse_splits("test=0.2, dev=0.2,train=0.6")) == ["train", "dev", "test"]


@pytest.mark.parametrize("text", ["jpeg", "jpeg:0", "jpeg:101", "jpeg:9.5", "webp", "PNG", ""])
def test_encodings_that_are_not_known_are_refused(text):
    with pytest.raises(UsageError, match="--encode"):
        parse_encode(text)


def test_copies_cannot_be_reduced():
    with pytest.raises(UsageError, match="--size"):
        _ = BuildOptions(encode="keep", size=64).asked_encoding
