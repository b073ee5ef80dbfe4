"""Test sets from drawn pictures: what goes in, what comes out, and that it comes out the same again."""

import csv
import json
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from testset_drawings import Drawn, build, bytes_of, draw, items_of

from eval.testsets.verify import verify_testset
from forensics.common.errors import ForensicsError, ManifestError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import write_manifest
from forensics.common.progress import Progress
from forensics.media.traits import read_traits


@pytest.fixture
def faces(tmp_path: Path) -> Drawn:
    """Six reals and six fakes of the split test, four and four of train."""
    drawn = Drawn(tmp_path / "faces")
    for n, split in ((6, "test"), (4, "train")):
        for i in range(n):
            drawn.add(f"{split}-r{i}", 0, source=f"{split}{i}", identity=f"p{split}{i}", split=split)
            drawn.add(f"{split}-f{i}", 1, generator="gan", source=f"{split}{i}", split=split)
    return drawn


def is_sound(folder: Path) -> bool:
    return verify_testset(folder, Progress(quiet=True), workers=1) == []


def test_a_set_is_balanced_hashed_and_says_where_it_comes_from(tmp_path, faces):
    data = faces.write()
    built = build(tmp_path / "set", [data], [data])
    items = items_of(tmp_path / "set")
    assert Counter(item.label for item in items) == {0: 6, 1: 6}
    assert {item.split for item in items} == {"test"}, "a training picture never becomes a test picture"
    originals = {sha256_of_file(path) for path in faces.folder.glob("test-*.jpg")}
    for item in items:
        assert sha256_of_file(item.path) == item.extra["sha256"]
        assert item.extra["original"] in originals
        assert item.extra["collection"] == "faces"
        assert (
            item.path.parent.relative_to(tmp_path / "set").as_posix()
            == f"test/{('real/faces', 'fake/gan')[item.label]}"
        )
    assert [(part.reason, part.real, part.fake) for part in built.record.left_out] == [
        ("in a split that is not taken", 4, 4)
    ]
    assert is_sound(tmp_path / "set")


def test_rows_keep_the_split_they_have(tmp_path, faces):
    data = faces.write()
    build(tmp_path / "set", [data], [data], from_split="all")
    for item in items_of(tmp_path / "set"):
        assert item.source.rstrip("0123456789") == item.split
    build(tmp_path / "train", [data], [data], from_split="train")
    assert {item.split for item in items_of(tmp_path / "train")} == {"train"}


def test_rows_without_a_split_are_spread_and_groups_stay_whole(tmp_path):
    drawn = Drawn(tmp_path / "faces")
    for i in range(60):
        drawn.add(f"r{i}", 0, source=f"s{i}", identity=f"p{i // 3}")
        drawn.add(f"f{i}", 1, generator="swap", source=f"s{i}", donor=f"p{(i // 3 + 1) // 2 * 2}")
    data = drawn.write()
    build(tmp_path / "set", [data], [data], splits="train=0.5,dev=0.25,test=0.25")
    items = items_of(tmp_path / "set")
    sides = defaultdict(set)
    for item in items:
        for name in (item.source, item.identity, item.extra["donor"]):
            sides[name].add(item.split)
    sides.pop("")
    assert all(len(found) == 1 for found in sides.values())
    counts = Counter((item.split, item.label) for item in items)
    assert {split for split, _ in counts} == {"train", "dev", "test"}
    assert all(counts[split, 0] == counts[split, 1] for split in ("train", "dev", "test"))


def test_the_same_file_in_train_of_another_set_is_not_tested(tmp_path):
    one = Drawn(tmp_path / "one").add_many(3, 0).add_many(3, 1, "gan")
    other = Drawn(tmp_path / "other").add_many(2, 1, "flow", split="train")
    for row in other.rows:
        row["label"] = "0"
    other.write()
    shutil.copy(other.folder / "flow000.jpg", one.folder / "again.jpg")
    one.add("again", 0, draws=False, source="unknown")
    built = build(tmp_path / "set", [one.write(), str(other.folder)], [str(one.folder)])
    assert Counter(item.path.name[:4] for item in items_of(tmp_path / "set")) == {"real": 3, "gan0": 3}
    reasons = {part.reason: part.real for part in built.record.left_out}
    assert reasons["a source or identity that it shares is in the split train"] == 1


def test_a_source_on_two_sides_stops_the_build_unless_told_otherwise(tmp_path, faces):
    faces.add("leak", 0, source="train0", split="test")
    data = faces.write()
    with pytest.raises(UsageError, match="train0"):
        build(tmp_path / "set", [data], [data])
    built = build(tmp_path / "set", [data], [data], crossing="drop")
    assert "leak" not in " ".join(item.path.name for item in items_of(tmp_path / "set"))
    assert any("two splits of DATA" in part.reason for part in built.record.left_out)


def test_two_builds_give_the_same_bytes_and_another_seed_gives_others(tmp_path, faces):
    data = faces.write()
    options = {"per_family": 4, "perturb": ("noise:10", "jpeg:50")}
    build(tmp_path / "a", [data], [data], **options)
    build(tmp_path / "b", [data], [data], **options)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    build(tmp_path / "c", [data], [data], seed=1, **options)
    originals = [{item.extra["original"] for item in items_of(tmp_path / name)} for name in "ac"]
    assert originals[0] != originals[1]


def test_the_number_of_workers_changes_no_byte(tmp_path, faces):
    from eval.testsets.build import build_testset
    from eval.testsets.options import BuildOptions

    data = faces.write()
    for workers in (1, 4):
        options = BuildOptions(real=(data,), fake=(data,), perturb=("noise:10",), workers=workers)
        build_testset(options, tmp_path / str(workers), Progress(quiet=True))
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "4")


def test_perturbed_copies_of_both_classes_keep_what_they_are(tmp_path, faces):
    data = faces.write()
    build(tmp_path / "set", [data], [data], perturb=("jpeg:30", "noise:5"))
    items = items_of(tmp_path / "set")
    counts = Counter((item.label, item.extra["perturbation"]) for item in items)
    assert counts == {(label, name): 6 for label in (0, 1) for name in ("", "jpeg:30", "noise:5")}
    by_original = defaultdict(list)
    for item in items:
        by_original[item.extra["original"]].append(item)
    for same in by_original.values():
        assert len({(item.source, item.identity, item.split, item.label, item.generator) for item in same}) == 1
        assert len({item.extra["sha256"] for item in same}) == 3
        plain, noisy = ({item.extra["perturbation"]: item.path for item in same}[name] for name in ("", "noise:5"))
        change = cv2.imread(str(noisy)).astype(float) - cv2.imread(str(plain))
        assert 3 < change.std() < 7
    assert is_sound(tmp_path / "set")


def test_sources_that_nobody_named_still_join_a_picture_and_its_copies(tmp_path):
    data = Drawn(tmp_path / "faces").add("a", 0).add("b", 1, generator="gan").write()
    build(tmp_path / "set", [data], [data], perturb=("jpeg:50",))
    sources = Counter(item.source for item in items_of(tmp_path / "set"))
    assert sorted(sources.values()) == [2, 2]


def test_files_of_one_history_are_kept_byte_for_byte(tmp_path, faces):
    data = faces.write()
    record = build(tmp_path / "set", [data], [data]).record
    assert record.encoding == "keep"
    for item in items_of(tmp_path / "set"):
        assert item.extra["sha256"] == item.extra["original"]


def test_jpeg_reals_and_png_fakes_become_alike(tmp_path):
    real = Drawn(tmp_path / "photos").add_many(5, 0).write()
    fake = Drawn(tmp_path / "renders", ".png").add_many(5, 1, "gan").write()
    record = build(tmp_path / "set", [real], [fake]).record
    assert record.encoding == "jpeg:95"
    assert "2 file formats (jpeg, png)" in record.encoding_reason
    traits = [read_traits(item.path) for item in items_of(tmp_path / "set")]
    assert {(one.container, one.jpeg.quality, one.jpeg.subsampling, one.suffix) for one in traits} == {
        ("jpeg", 95, "4:2:0", ".jpg")
    }
    assert len({one.metadata.kinds for one in traits}) == 1


def test_jpegs_of_two_qualities_become_alike(tmp_path):
    drawn = Drawn(tmp_path / "faces").add_many(5, 0).add_many(5, 1, "gan")
    for path in drawn.folder.glob("gan*.jpg"):
        draw(path, "gan", quality=60)
    data = drawn.write()
    record = build(tmp_path / "set", [data], [data]).record
    assert record.encoding == "jpeg:95"
    assert "JPEG quality" in record.encoding_reason


def test_metadata_of_one_class_do_not_survive(tmp_path):
    drawn = Drawn(tmp_path / "faces").add_many(5, 0).add_many(5, 1, "gan")
    for path in drawn.folder.glob("gan*.jpg"):
        with Image.open(path) as picture:
            exif = picture.getexif()
            exif[0x0131] = "Generator 1.0"
            picture.save(path, quality="keep", exif=exif)
    data = drawn.write()
    record = build(tmp_path / "set", [data], [data]).record
    assert "metadata" in record.encoding_reason
    assert not any(b"Generator" in item.path.read_bytes() for item in items_of(tmp_path / "set"))


def test_an_encoding_that_was_asked_for_is_used(tmp_path, faces):
    data = faces.write()
    for encode, container in (("png", "png"), ("jpeg:70", "jpeg")):
        folder = tmp_path / encode.replace(":", "")
        build(folder, [data], [data], encode=encode, perturb=("blur:1",))
        traits = [read_traits(item.path) for item in items_of(folder)]
        assert {one.container for one in traits} == {container}
    assert {one.jpeg.quality for one in traits} == {70}


def test_png_keeps_the_pixels(tmp_path, faces):
    data = faces.write()
    build(tmp_path / "set", [data], [data], encode="png")
    originals = {sha256_of_file(path): path for path in faces.folder.glob("*.jpg")}
    for item in items_of(tmp_path / "set"):
        with Image.open(item.path) as picture, Image.open(originals[item.extra["original"]]) as original:
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(original))


def test_size_reduces_the_longest_side_and_never_enlarges(tmp_path):
    big = Drawn(tmp_path / "big", side=96).add_many(3, 0).write()
    small = Drawn(tmp_path / "small", side=48).add_many(3, 1, "gan").write()
    record = build(tmp_path / "set", [big], [small], size=64).record
    sizes = {
        item.label: max(read_traits(item.path).width, read_traits(item.path).height)
        for item in items_of(tmp_path / "set")
    }
    assert sizes == {0: 64, 1: 48}
    assert {(part.label, part.median_px) for part in record.sizes} == {("real", 64), ("fake", 48)}


def test_places_in_pixels_do_not_outlive_a_change_of_size(tmp_path):
    drawn = Drawn(tmp_path / "faces", side=64)
    for i in range(3):
        drawn.add(f"r{i}", 0, frames="[1, 2, 3, 4]", mask="masks/r.png").add(f"f{i}", 1, generator="gan", frames="[0]")
    data = drawn.write()
    notes = build(tmp_path / "set", [data], [data], perturb=("crop:0.8", "jpeg:60")).record.notes
    items = items_of(tmp_path / "set")
    assert len(items) == 18
    for item in items:
        assert bool(item.extra["frames"]) == (item.extra["perturbation"] != "crop:0.8")
        assert item.mask == ""
    assert "masks of 3 rows are not carried over" in notes
    build(tmp_path / "reduced", [data], [data], size=32)
    assert not any("frames" in item.extra for item in items_of(tmp_path / "reduced"))


def test_classes_of_different_size_are_remarked_on(tmp_path):
    big = Drawn(tmp_path / "big", side=96).add_many(20, 0).write()
    small = Drawn(tmp_path / "small").add_many(20, 1, "gan").write()
    notes = build(tmp_path / "set", [big], [small]).record.notes
    assert any("differ in size" in note and "--size 32" in note for note in notes)
    assert not any("differ in size" in note for note in build(tmp_path / "even", [big], [small], size=32).record.notes)


def test_folders_without_labels_take_the_options_word(tmp_path):
    for name in ("photos", "sdxl"):
        for i in range(3):
            draw(tmp_path / name / f"{i}.png", name)
    build(tmp_path / "set", [str(tmp_path / "photos")], [str(tmp_path / "sdxl")])
    assert Counter((item.label, item.generator, item.extra["collection"]) for item in items_of(tmp_path / "set")) == {
        (0, "", "photos"): 3,
        (1, "sdxl", "sdxl"): 3,
    }
    with pytest.raises(UsageError, match="no labels"):
        build(tmp_path / "other", [str(tmp_path / "sdxl")], [str(tmp_path / "sdxl")])


def test_frames_of_one_video_stay_together(tmp_path):
    for i in range(4):
        draw(tmp_path / "photos" / f"{i}.png", "photos")
        draw(tmp_path / "swaps" / "frames" / f"clip{i // 2}" / f"{i}.png", "swaps")
    build(tmp_path / "set", [str(tmp_path / "photos")], [str(tmp_path / "swaps")])
    fakes = [item.source for item in items_of(tmp_path / "set") if item.label == 1]
    assert Counter(fakes) == {"swaps/frames/clip0": 2, "swaps/frames/clip1": 2}


def test_a_folder_of_real_and_fake_is_read_as_such(tmp_path):
    for name in ("real", "fake/gan", "fake/flow"):
        for i in range(4):
            draw(tmp_path / "data" / name / f"{i}.png", name)
    data = str(tmp_path / "data")
    record = build(tmp_path / "set", [data], [data]).record
    assert {(part.label, part.family, part.n) for part in record.counts} == {
        ("real", "data", 4), ("fake", "flow", 2), ("fake", "gan", 2),
    }  # fmt: skip


def test_fakes_without_reals_of_their_own_are_pooled_and_others_are_not(tmp_path, faces):
    data = faces.write()
    alone = Drawn(tmp_path / "sdxl").add_many(3, 1, "sdxl").write()
    assert not build(tmp_path / "own", [data], [data]).record.is_pooled
    assert {item.dataset for item in items_of(tmp_path / "own")} == {"faces"}
    assert build(tmp_path / "pooled", [data], [data, alone], name="mine").record.is_pooled
    items = items_of(tmp_path / "pooled")
    assert {item.dataset for item in items} == {"mine"}
    assert {item.extra["collection"] for item in items} == {"faces", "sdxl"}
    build(tmp_path / "kept", [data], [data, alone], pool="no")
    assert {item.dataset for item in items_of(tmp_path / "kept")} == {"faces", "sdxl"}


def attack_set(folder: Path, faces: Drawn) -> str:
    drawn = Drawn(folder, ".png")
    for i in range(3):
        drawn.add(
            f"adversarial{i}", 1, generator="gan", dataset="faces", source=f"test{i}", split="test", attack="pgd",
            epsilon="2", victim="cnn", success_before="1", success_after="0", seed="7",
            original=sha256_of_file(faces.folder / f"test-f{i}.jpg"), target="",
        )  # fmt: skip
    return drawn.write()


def test_columns_of_attack_sets_are_kept(tmp_path, faces):
    data = faces.write()
    attacked = attack_set(tmp_path / "attacked", faces)
    record = build(tmp_path / "set", [data], [data, attacked], encode="png").record
    own = [item for item in items_of(tmp_path / "set") if item.extra["family"] == "gan+pgd"]
    assert len(own) == 3
    for item in own:
        kept = {name: item.extra[name] for name in ("attack", "epsilon", "victim", "success_before", "success_after")}
        assert kept == {"attack": "pgd", "epsilon": "2", "victim": "cnn", "success_before": "1", "success_after": "0"}
        assert item.extra["origin_seed"] == "7"
        assert item.extra["origin_original"] != item.extra["original"]
        assert item.generator == "gan"
    clean = [item for item in items_of(tmp_path / "set") if item.extra["family"] != "gan+pgd"]
    assert {item.extra["attack"] for item in clean} == {""}
    assert not any("success" in note for note in record.notes)
    assert any("success" in note for note in build(tmp_path / "jpegs", [data], [data, attacked]).record.notes)


def test_unreadable_files_are_counted_left_out_and_made_up_for(tmp_path):
    drawn = Drawn(tmp_path / "faces").add_many(4, 0).add_many(6, 1, "gan")
    data = drawn.write()
    (drawn.folder / "gan000.jpg").write_bytes(b"not a picture")
    (drawn.folder / "gan001.jpg").write_bytes(b"")
    built = build(tmp_path / "set", [data], [data])
    assert {item.path.name[:6] for item in items_of(tmp_path / "set") if item.label} == {
        f"gan00{i}" for i in (2, 3, 4, 5)
    }
    assert Counter(item.label for item in items_of(tmp_path / "set")) == {0: 4, 1: 4}
    reasons = {part.reason: part.fake for part in built.record.left_out}
    assert reasons["not a readable picture or clip"] == 2
    assert built.n_unreadable == 2


def test_a_damaged_picture_that_is_needed_shrinks_both_classes(tmp_path):
    drawn = Drawn(tmp_path / "faces").add_many(4, 0).add_many(4, 1, "gan")
    data = drawn.write()
    whole = (drawn.folder / "gan001.jpg").read_bytes()
    (drawn.folder / "gan001.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    built = build(tmp_path / "set", [data], [data])
    assert Counter(item.label for item in items_of(tmp_path / "set")) == {0: 3, 1: 3}
    assert built.n_unreadable == 1
    assert is_sound(tmp_path / "set")


def test_a_file_that_its_manifest_does_not_know_is_left_out(tmp_path):
    drawn = Drawn(tmp_path / "faces").add_many(2, 0).add_many(3, 1, "gan")
    for row in drawn.rows:
        row["sha256"] = sha256_of_file(drawn.folder / row["path"])
    data = drawn.write()
    draw(drawn.folder / "gan001.jpg", "another")
    record = build(tmp_path / "set", [data], [data]).record
    assert {part.reason: part.fake for part in record.left_out}["not the file whose SHA-256 its manifest states"] == 1


def test_duplicates_count_once_and_a_file_with_both_labels_not_at_all(tmp_path):
    drawn = Drawn(tmp_path / "faces").add_many(4, 0).add_many(4, 1, "gan")
    shutil.copy(drawn.folder / "real000.jpg", drawn.folder / "twin.jpg")
    shutil.copy(drawn.folder / "real001.jpg", drawn.folder / "both.jpg")
    drawn.add("twin", 0, draws=False, split="test").add("both", 1, draws=False, generator="gan", split="test")
    data = drawn.write()
    reasons = {part.reason: (part.real, part.fake) for part in build(tmp_path / "set", [data], [data]).record.left_out}
    assert reasons["the same file once more"] == (1, 0)
    assert reasons["the same file with both labels"] == (1, 1)


HOSTILE = {
    "../x": "../climbs.png",
    "=cmd|' /C calc'!A0": "=cmd.png",
    "two\nlines": "new\nline.png",
    "-rf": "-rf.png",
    "<script>": "a b;c.png",
    ".": "..hidden.png",
    "@sum\t1": "\u202egnp.exe.png",
}


def test_hostile_names_stay_inside_and_mean_nothing(tmp_path):
    drawn = Drawn(tmp_path / "deep" / "data", ".png")
    for i, (generator, path) in enumerate(HOSTILE.items()):
        drawn.add("", 1, generator=generator, path=path, source=generator, split="test", note="+1+1")
        drawn.add(f"real{i}", 0, source=f"=r{i}", split="test")
    data = drawn.write()
    before = {path for path in tmp_path.rglob("*") if tmp_path / "set" not in path.parents}
    record = build(tmp_path / "set", [data], [data], name="=name|<b>").record
    after = {path for path in tmp_path.rglob("*") if tmp_path / "set" not in path.parents}
    assert after - before == {tmp_path / "set"}
    assert sum(part.n for part in record.counts if part.label == "fake") == len(HOSTILE)
    with (tmp_path / "set" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r")) or "\n" in cell]
    for item in items_of(tmp_path / "set"):
        assert item.path.is_file()
        assert item.path.resolve().is_relative_to(tmp_path / "set")
        assert item.path.name.isascii()
        assert not item.path.name.startswith((".", "-"))
    sheet = (tmp_path / "set" / "DATASHEET.md").read_text(encoding="utf-8")
    assert "<script>" not in sheet
    assert "<b>" not in sheet
    assert is_sound(tmp_path / "set")
    chained = build(tmp_path / "again", [str(tmp_path / "set")], [str(tmp_path / "set")]).record
    assert {part.family for part in chained.counts} == {part.family for part in record.counts}


def test_a_foreign_folder_is_refused_without_overwrite(tmp_path, faces):
    data = faces.write()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a test set"):
        build(tmp_path / "mine", [data], [data])
    assert bytes_of(tmp_path / "mine") == {"thesis.txt": b"years of work"}
    build(tmp_path / "mine", [data], [data], overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_another_recipe_needs_another_folder_or_overwrite(tmp_path, faces):
    data = faces.write()
    build(tmp_path / "set", [data], [data])
    before = bytes_of(tmp_path / "set")
    with pytest.raises(UsageError, match="another recipe"):
        build(tmp_path / "set", [data], [data], per_family=2)
    assert bytes_of(tmp_path / "set") == before
    build(tmp_path / "set", [data], [data], per_family=2, overwrite=True)
    build(tmp_path / "new", [data], [data], per_family=2)
    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "new"), "nothing of the first set is left"


def test_the_record_names_the_libraries_that_bytes_depend_on(tmp_path, faces):
    data = faces.write()
    environment = build(tmp_path / "set", [data], [data]).record.environment
    assert {"numpy", "opencv-python-headless", "pillow", "scikit-learn"} <= set(environment)
    assert "missing" not in environment.values()


@pytest.mark.parametrize("where", ["manifest in the set", "pictures in the set", "links into the set"])
def test_a_set_is_not_made_from_what_it_replaces(tmp_path, faces, where):
    data = faces.write()
    output = tmp_path / "set"
    build(output, [data], [data])
    own = output / "manifest.csv"
    if where == "links into the set":
        own = tmp_path / "links" / "manifest.csv"
        own.parent.mkdir()
        for item in items_of(output):
            (own.parent / item.path.name).symlink_to(item.path)
        write_manifest(own, [replace(item, path=own.parent / item.path.name) for item in items_of(output)])
    if where == "pictures in the set":
        own = tmp_path / "beside.csv"
        write_manifest(own, items_of(output))
    before = bytes_of(output)
    with pytest.raises(UsageError, match="lies in --output"):
        build(output, [str(own)], [str(own)], per_family=2, overwrite=True)
    assert bytes_of(output) == before


def test_a_recipe_that_fails_leaves_the_folder_free_for_the_next(tmp_path, faces):
    data = faces.write()
    with pytest.raises(UsageError, match="no balanced set"):
        build(tmp_path / "set", [data], [data], splits="dev=1")
    build(tmp_path / "set", [data], [data])
    assert is_sound(tmp_path / "set")


def test_a_finished_set_is_not_written_again(tmp_path, faces):
    data = faces.write()
    options = {"encode": "png", "perturb": ("noise:5",)}
    build(tmp_path / "set", [data], [data], **options)
    files = sorted((tmp_path / "set").rglob("*.png"))
    stamps = {path: path.stat().st_ino for path in files}
    again = build(tmp_path / "set", [data], [data], **options)
    assert (again.n_written, again.n_kept) == (0, 24)
    assert {path: path.stat().st_ino for path in files} == stamps


def test_a_build_goes_on_after_half_of_its_files_are_gone(tmp_path, faces):
    data = faces.write()
    options = {"encode": "jpeg:80", "perturb": ("noise:5",)}
    build(tmp_path / "set", [data], [data], **options)
    whole = bytes_of(tmp_path / "set")
    files = sorted((tmp_path / "set").rglob("*.jpg"))
    for path in files[::2]:
        path.unlink()
    files[1].write_bytes(b"cut off")
    built = build(tmp_path / "set", [data], [data], **options)
    assert (built.n_written, built.n_kept) == (13, 11)
    assert bytes_of(tmp_path / "set") == whole


def test_a_killed_build_is_not_complete_and_goes_on(tmp_path, faces, monkeypatch):
    from eval.testsets import writing

    data = faces.write()
    options = {"encode": "png", "perturb": ("noise:5",)}
    build(tmp_path / "whole", [data], [data], **options)
    options["workers"] = 1  # of two, one could reach the sixth copy while the other still makes the first file
    real, calls = writing.perturbed, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(writing, "perturbed", killed)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "set", [data], [data], **options)
    monkeypatch.undo()
    assert "stopped" in verify_testset(tmp_path / "set", Progress(quiet=True))[0]
    built = build(tmp_path / "set", [data], [data], **options)
    assert built.n_kept > 0
    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "whole")


def test_links_that_leave_the_folder_are_not_written_through(tmp_path, faces):
    data = faces.write()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="outside"):
        build(tmp_path / "set", [data], [data], overwrite=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_clips_are_copied_and_balanced_apart_from_pictures(tmp_path, clip_writer):
    rng = np.random.default_rng(0)
    drawn = Drawn(tmp_path / "faces", ".png").add_many(4, 0).add_many(4, 1, "gan")
    for i, label in enumerate((0, 1, 1)):
        name = f"clip{i}.mp4"
        frames = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
        clip_writer(drawn.folder / name, frames)
        drawn.add("", label, draws=False, path=name, generator="swap" if label else "", source=name, split="test")
    data = drawn.write()
    built = build(tmp_path / "set", [data], [data], encode="jpeg:90", perturb=("jpeg:40",))
    counts = {(part.kind, part.label): (part.n, part.n_perturbed) for part in built.record.counts}
    assert counts == {
        ("clip", "real"): (1, 0), ("clip", "fake"): (1, 0), ("picture", "real"): (4, 4), ("picture", "fake"): (4, 4),
    }  # fmt: skip
    for item in items_of(tmp_path / "set"):
        if item.path.suffix == ".mp4":
            assert item.extra["sha256"] == item.extra["original"]
    assert any("clips have no perturbed copies" in note for note in built.record.notes)
    assert is_sound(tmp_path / "set")


def test_inputs_that_give_nothing_are_named(tmp_path, faces):
    data = faces.write()
    only_real = Drawn(tmp_path / "photos").add_many(2, 0).write()
    with pytest.raises(UsageError, match="has no fakes"):
        build(tmp_path / "set", [data], [only_real])
    with pytest.raises(UsageError, match="no --fake DATA"):
        build(tmp_path / "set", [data], [])
    with pytest.raises(ForensicsError, match="nowhere"):
        build(tmp_path / "set", [data], [str(tmp_path / "nowhere")])
    with pytest.raises(UsageError, match="lies in"):
        build(faces.folder / "set", [data], [data])
    with pytest.raises(UsageError, match="no perturbation"):
        build(tmp_path / "set", [data], [data], perturb=("sepia:3",))
    (tmp_path / "broken.csv").write_text("path,label\nx.jpg,maybe\n")
    with pytest.raises(ManifestError, match="maybe"):
        build(tmp_path / "set", [data], [str(tmp_path / "broken.csv")])


def test_the_datasheet_answers_from_what_is_known(tmp_path, faces):
    from eval.testsets.record import AuditPart

    data = faces.write()
    audited = []

    def auditor(manifest: Path, seed: int) -> AuditPart:
        audited.append((manifest, seed))
        return AuditPart(verdict="weak shortcuts (colour)", lines=("colour: AUC 0.66",))

    build(tmp_path / "set", [data], [data], auditor, licence="CC0", name="Faces & fakes", perturb=("jpeg:50",), seed=3)
    sheet = (tmp_path / "set" / "DATASHEET.md").read_text(encoding="utf-8")
    assert audited == [(tmp_path / "set" / "manifest.csv", 3)]
    titles = ["Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling", "Known shortcuts",
              "Uses", "Distribution", "Maintenance"]  # fmt: skip
    assert [line.removeprefix("## ") for line in sheet.splitlines() if line.startswith("## ")] == titles
    for text in (
        "# Datasheet: Faces \\& fakes", "| test | fake | gan | picture | 6 | 6 |", "test: 6 real, 6 fake: balanced", "CC0.",
        "Weak shortcuts (colour).", "colour: AUC 0.66", "`jpeg:50`", "Unknown: see the sources.",
    ):  # fmt: skip
        assert text in sheet
    assert str(tmp_path) not in sheet, "where the inputs lay is nobody's business"
    build(tmp_path / "plain", [data], [data], auditor, audit=False)
    plain = (tmp_path / "plain" / "DATASHEET.md").read_text(encoding="utf-8")
    assert "Not looked for" in plain
    assert "unknown: see the sources." in plain
    assert len(audited) == 1


def test_no_clock_and_no_folder_of_the_set_is_in_its_files(tmp_path, faces):
    data = faces.write()
    build(tmp_path / "somewhere", [data], [data])
    record = json.loads((tmp_path / "somewhere" / "testset.json").read_text())
    assert "somewhere" not in json.dumps(record)
    assert record["recipe"]["inputs"][0]["path"] == data
    assert record["recipe"]["inputs"][0]["sha256"] == sha256_of_file(faces.folder / "manifest.csv")
    assert record["environment"].keys() >= {"numpy", "pillow", "opencv-python-headless"}
