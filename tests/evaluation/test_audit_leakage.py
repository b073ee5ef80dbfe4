"""Leakage: what is on two sides is found, and nothing else is."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.audit.leakage import find_leakage, sources_of
from eval.audit.reading import AuditData, AuditRow, read_rows, unique_names
from eval.audit.schema import MAX_EXAMPLES, LeakageFinding
from forensics.common.manifest import Item
from forensics.common.progress import Progress

QUIET = Progress(quiet=True)
SAFETY_S = 60.0


def scene(seed: int, side: int = 96) -> np.ndarray:
    """(side, side, 3): soft coloured patches, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def drawn(path: Path, pixels: np.ndarray, quality: int = 95) -> Path:
    assert cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def rows_of(items: list[Item], root: Path, name: str = "data", workers: int = 1) -> list[AuditRow]:
    return read_rows([AuditData(name, root, "manifest", tuple(items))], workers, SAFETY_S, QUIET)


def findings_of(rows: list[AuditRow]) -> dict[str, LeakageFinding]:
    return {finding.check: finding for finding in find_leakage(rows, QUIET)}


def found_in(findings: dict[str, LeakageFinding]) -> set[str]:
    return {check for check, finding in findings.items() if finding.outcome == "found"}


@pytest.fixture
def clean(tmp_path) -> list[Item]:
    """Eight pictures in two splits, each with a source and a person of its own."""
    return [
        Item(
            drawn(tmp_path / f"{k}.jpg", scene(k)),
            k % 2,
            dataset="d",
            source=f"s{k}",
            identity=f"p{k}",
            split="train" if k < 5 else "test",
        )
        for k in range(8)
    ]


def test_nothing_is_found_where_nothing_is(clean, tmp_path):
    findings = findings_of(rows_of(clean, tmp_path))
    assert found_in(findings) == set()
    tested = {check for check, finding in findings.items() if finding.outcome == "none found"}
    assert tested == set(findings) - {"same_file_in_two_data_sets", "swapped_in_person_across_splits"}


def test_a_copy_in_another_split(clean, tmp_path):
    shutil.copy(clean[0].path, tmp_path / "copy.jpg")
    copy = replace(clean[6], path=tmp_path / "copy.jpg", label=clean[0].label)
    findings = findings_of(rows_of([*clean, copy], tmp_path))
    assert found_in(findings) == {"same_file_across_splits"}  # and not again as a near-duplicate
    finding = findings["same_file_across_splits"]
    assert (finding.n, finding.n_items, finding.between) == (1, 2, {"test | train": 1})
    assert [item.path for item in finding.examples[0].items] == ["data/copy.jpg", "data/0.jpg"]
    assert len(finding.examples[0].what) == 64


def test_a_copy_with_the_other_label_and_one_that_weighs_double(clean, tmp_path):
    for name in ("lie.jpg", "again.jpg"):
        shutil.copy(clean[0].path, tmp_path / name)
    lie = replace(clean[0], path=tmp_path / "lie.jpg", label=1)
    findings = findings_of(rows_of([*clean, lie], tmp_path))
    assert found_in(findings) == {"same_file_with_both_labels"}
    assert findings["same_file_with_both_labels"].between == {"fake | real": 1}
    again = replace(clean[0], path=tmp_path / "again.jpg")
    findings = findings_of(rows_of([*clean, again], tmp_path))
    assert found_in(findings) == {"same_file_repeated"}
    assert not findings["same_file_repeated"].is_leakage


@pytest.mark.parametrize("change", ["quality", "size", "brightness"])
def test_a_picture_that_was_saved_anew_in_another_split(clean, tmp_path, change):
    pixels = cv2.imread(str(clean[1].path))
    if change == "size":
        pixels = cv2.resize(pixels, (50, 50), interpolation=cv2.INTER_AREA)
    if change == "brightness":
        pixels = np.clip(pixels.astype(int) + 20, 0, 255).astype(np.uint8)
    anew = replace(clean[7], path=drawn(tmp_path / "anew.jpg", pixels, 40), source="s9", identity="p9")
    findings = findings_of(rows_of([*clean, anew], tmp_path))
    assert found_in(findings) == {"near_duplicates_across_splits"}
    finding = findings["near_duplicates_across_splits"]
    assert (finding.n, finding.n_items, finding.between) == (1, 2, {"test | train": 1})
    (example,) = finding.examples
    assert {item.path for item in example.items} == {"data/1.jpg", "data/anew.jpg"}
    assert example.correlation > 0.97
    within = replace(anew, split=clean[1].split)  # alike within a split: no leakage
    assert found_in(findings_of(rows_of([*clean, within], tmp_path))) == set()


def test_alike_in_hash_but_not_in_picture_is_no_duplicate(clean, tmp_path, monkeypatch):
    """Every pair is a candidate: only the correlation is left to tell them apart."""
    monkeypatch.setattr("eval.audit.leakage.perceptual_hashes", lambda lumas: np.zeros(len(lumas), np.uint64))
    assert found_in(findings_of(rows_of(clean, tmp_path))) == set()


def test_black_frames_are_not_compared(clean, tmp_path):
    black = [
        replace(
            item, path=drawn(tmp_path / f"black{k}.jpg", np.full((40, 40 + k, 3), 3, np.uint8)), source="", identity=""
        )
        for k, item in enumerate((clean[0], clean[7]))
    ]
    findings = findings_of(rows_of([*clean, *black], tmp_path))
    assert found_in(findings) == set()
    assert "2 pictures without contrast" in findings["near_duplicates_across_splits"].reason


def test_sources_and_identities_on_two_sides(clean, tmp_path):
    rows = rows_of([*clean[:7], replace(clean[7], source="s0")], tmp_path)
    assert found_in(findings_of(rows)) == {"same_source_across_splits"}
    rows = rows_of([*clean[:7], replace(clean[7], identity="p1")], tmp_path)
    findings = findings_of(rows)
    assert found_in(findings) == {"same_identity_across_splits"}
    assert findings["same_identity_across_splits"].examples[0].what == "p1"
    rows = rows_of([*clean[:7], replace(clean[7], source="s0", dataset="another")], tmp_path)
    assert found_in(findings_of(rows)) == set()  # the same name, but of something else


def test_composites_name_all_their_sources(clean, tmp_path):
    assert sources_of(replace(clean[0], source="a+b")) == ["a", "b"]
    assert sources_of(replace(clean[0], source="", extra={"video": "fake/000_003"})) == ["fake/000_003"]
    findings = findings_of(rows_of([*clean[:7], replace(clean[7], source="s7+s0")], tmp_path))
    assert found_in(findings) == {"same_source_across_splits"}
    assert findings["same_source_across_splits"].examples[0].what == "s0"


def test_a_person_swapped_in_is_said_but_is_no_leakage(clean, tmp_path):
    fake = replace(clean[7], extra={"donor": "p0"})
    findings = findings_of(rows_of([*clean[:7], fake], tmp_path))
    assert found_in(findings) == {"swapped_in_person_across_splits"}
    assert not findings["swapped_in_person_across_splits"].is_leakage
    harmless = replace(clean[7], extra={"donor": "p6"})
    assert found_in(findings_of(rows_of([*clean[:7], harmless], tmp_path))) == set()


def test_files_of_two_data_sets_without_splits(clean, tmp_path):
    (tmp_path / "b").mkdir()
    shutil.copy(clean[0].path, tmp_path / "b" / "0.jpg")
    plain = [replace(item, split="", dataset="") for item in clean]
    copy = replace(plain[0], path=tmp_path / "b" / "0.jpg")
    parts = [AuditData("a", tmp_path, "", tuple(plain)), AuditData("b", tmp_path / "b", "", (copy,))]
    findings = findings_of(read_rows(parts, 1, SAFETY_S, QUIET))
    # Their names may mean different people: only the files are compared.
    assert found_in(findings) == {"same_file_across_splits", "same_file_in_two_data_sets"}
    assert findings["same_file_across_splits"].between == {"all of a | all of b": 1}
    alone = findings_of(read_rows(parts[:1], 1, SAFETY_S, QUIET))
    assert alone["same_file_across_splits"].outcome == "not tested"
    assert alone["near_duplicates_across_splits"].outcome == "not tested"


def test_items_without_a_split_are_compared_with_those_that_have_one(clean, tmp_path):
    pixels = cv2.imread(str(clean[1].path))
    unsplit = [
        replace(
            clean[0], path=Path(shutil.copy(clean[0].path, tmp_path / "copy.jpg")), split="", source="", identity=""
        ),
        replace(clean[1], path=drawn(tmp_path / "anew.jpg", pixels, 40), split="", source="", identity=""),
        replace(clean[6], path=drawn(tmp_path / "own.jpg", scene(70)), split="", identity=""),
    ]
    findings = findings_of(rows_of([*clean, *unsplit], tmp_path))
    assert {check: findings[check].between for check in found_in(findings)} == {
        "same_file_across_splits": {"no split in data | train": 1},
        "near_duplicates_across_splits": {"no split in data | train": 1},
        "same_source_across_splits": {"no split in data | test": 1},
    }
    assert [ref.split for ref in findings["same_file_across_splits"].examples[0].items] == ["", "train"]
    harmless = [replace(clean[6], path=drawn(tmp_path / "own.jpg", scene(70)), split="", source="s9", identity="")]
    assert found_in(findings_of(rows_of([*clean, *harmless], tmp_path))) == set()


def test_equal_pairs_are_counted_and_the_first_by_name_are_shown(clean, tmp_path, monkeypatch):
    """Every pair of two sides is alike; what is shown does not depend on how many are compared at a time."""
    rows = rows_of([*clean, *clean, *clean], tmp_path)
    rows = [
        replace(
            row,
            shown=f"{(7 * k) % len(rows):02d}",
            side="train" if k % 3 else "test",
            traits=replace(row.traits, thumbnail=rows[0].traits.thumbnail, sha256=str(k)),
        )
        for k, row in enumerate(rows)
    ]
    pairs = [(a.shown, b.shown) for a in rows for b in rows if (a.side, b.side) == ("test", "train")]
    for batch in (5, 4096):
        monkeypatch.setattr("eval.audit.leakage.PAIR_BATCH", batch)
        near = findings_of(rows)["near_duplicates_across_splits"]
        assert (near.n, near.n_items, near.between) == (8 * 16, 24, {"test | train": 8 * 16})
        shown = [tuple(item.path for item in example.items) for example in near.examples]
        assert shown == sorted(pairs)[:MAX_EXAMPLES]


def test_unreadable_files_are_listed_and_the_rest_is_audited(clean, tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    broken = [
        replace(clean[0], path=tmp_path / "text.jpg", identity="", source=""),
        replace(clean[7], path=tmp_path / "missing.jpg", identity="", source="s0"),
    ]
    rows = rows_of([*clean, *broken], tmp_path)
    assert [row.shown for row in rows if row.traits is None] == ["data/text.jpg", "data/missing.jpg"]
    assert all(row.message for row in rows if row.traits is None)
    assert found_in(findings_of(rows)) == {"same_source_across_splits"}  # a name needs no file
    none_left = findings_of(rows_of(broken, tmp_path))
    assert none_left["same_file_across_splits"].reason == "no file could be read"
    assert none_left["near_duplicates_across_splits"].reason == "no file could be read"


def test_damaged_files_fare_alike_whatever_is_read_beside_them(clean, tmp_path):
    cut = []
    for k in range(24):
        data = drawn(tmp_path / f"cut{k}.jpg", scene(50 + k)).read_bytes()
        (tmp_path / f"cut{k}.jpg").write_bytes(data[: len(data) * 2 // 3])
        cut.append(replace(clean[0], path=tmp_path / f"cut{k}.jpg"))
    alone, beside = (rows_of([*clean, *cut], tmp_path, workers=workers) for workers in (1, 6))
    assert all(row.traits is not None for row in alone)
    for one, other in zip(alone, beside, strict=True):
        assert other.traits is not None
        assert np.array_equal(one.traits.thumbnail, other.traits.thumbnail)


def test_examples_are_limited_and_counts_are_not(tmp_path):
    items = []
    for k in range(60):
        path = drawn(tmp_path / f"{k}.jpg", scene(k % 30), 90 - k // 30)
        items.append(Item(path, 0, split="train" if k < 30 else "test", source=f"{k % 30}"))
    findings = findings_of(rows_of(items, tmp_path))
    near = findings["near_duplicates_across_splits"]
    assert (near.n, near.n_items, len(near.examples)) == (30, 60, MAX_EXAMPLES)
    values = [example.correlation for example in near.examples]
    assert values == sorted(values, reverse=True)
    assert findings["same_source_across_splits"].n == 30


def test_data_have_unique_short_names(tmp_path):
    roots = [tmp_path / "a" / "faces", tmp_path / "b" / "faces" / "manifest.csv", tmp_path / "c" / "test.csv"]
    assert unique_names(roots) == ["faces", "faces (2)", "test"]
