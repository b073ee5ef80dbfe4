"""Celeb-DF: its list writes 1 for real."""

import pytest
from dataset_trees import named, plant

from eval.datasets import load_dataset
from forensics.common.errors import ManifestError

VIDEOS = (
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id0_0001.mp4",
    "Celeb-synthesis/id0_id16_0000.mp4",
    "Celeb-synthesis/id0_id2_0001.mp4",
    "YouTube-real/00170.mp4",
    "YouTube-real/00171.mp4",
)
LISTED = "1 YouTube-real/00170.mp4\n1 Celeb-real/id0_0000.mp4\n\n0 Celeb-synthesis/id0_id16_0000.mp4\r\n"


def _tree(root, listed=LISTED):
    plant(root, *VIDEOS)
    if listed is not None:
        (root / "List_of_testing_videos.txt").write_text(listed, newline="")
    return root


def test_one_means_real_in_the_list_and_fake_here(tmp_path):
    root = _tree(tmp_path / "Celeb-DF-v2")
    found = load_dataset(root)
    assert (found.layout, found.notes) == ("celebdf", ())
    items = named(found.items, root)
    assert {name: item.label for name, item in items.items()} == {name: int("synthesis" in name) for name in VIDEOS}
    assert {name for name, item in items.items() if item.split == "test"} == {
        "Celeb-real/id0_0000.mp4",
        "Celeb-synthesis/id0_id16_0000.mp4",
        "YouTube-real/00170.mp4",
    }
    assert {item.split for item in items.values()} == {"test", "train"}
    assert {item.dataset for item in items.values()} == {"celebdf-v2"}


def test_a_fake_is_traced_to_its_target(tmp_path):
    items = named(load_dataset(_tree(tmp_path)).items, tmp_path)
    fake, real = items["Celeb-synthesis/id0_id16_0000.mp4"], items["Celeb-real/id0_0000.mp4"]
    assert (fake.source, fake.identity, fake.extra["donor"]) == ("id0_0000", "id0", "id16")
    assert (real.source, real.identity, real.extra["donor"]) == ("id0_0000", "id0", "")
    assert fake.extra["video"] == "Celeb-synthesis/id0_id16_0000"
    assert fake.generator == "celeb-synthesis"
    stranger = items["YouTube-real/00170.mp4"]
    assert (stranger.source, stranger.identity, stranger.dataset) == ("00170", "", "celebdf")


def test_a_list_with_the_labels_turned_round_is_refused(tmp_path):
    _tree(tmp_path, LISTED.replace("1 Celeb-real", "0 Celeb-real"))
    with pytest.raises(
        ManifestError, match=r"List_of_testing_videos\.txt:2: label 0 for a video of Celeb-real"
    ) as caught:
        load_dataset(tmp_path)
    assert "1 means real" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 ../../etc/passwd", "txt:1: .* leads outside"),
        ("1 /etc/passwd", "txt:1: .* leads outside"),
        ("1 Celeb-real/../../x.mp4", "txt:1: .* leads outside"),
        ("1 Celeb-real/a\0b.mp4", "txt:1: .* leads outside"),
        ("real Celeb-real/id0_0000.mp4", "txt:1: not a label and a path"),
        ("2 Celeb-real/id0_0000.mp4", "txt:1: not a label and a path"),
        ("1 Elsewhere/id0_0000.mp4", "txt:1: unknown folder"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    with pytest.raises(ManifestError, match=message):
        load_dataset(_tree(tmp_path, f"{line}\n"))


def test_missing_and_repeated_lines_are_counted(tmp_path):
    found = load_dataset(_tree(tmp_path, LISTED + "1 Celeb-real/id9_0009.mp4\n1 YouTube-real/00170.mp4\n"))
    assert set(found.notes) == {
        "1 of 4 videos of List_of_testing_videos.txt not here",
        "1 repeated line in List_of_testing_videos.txt ignored",
    }
    assert sum(item.split == "test" for item in found.items) == 3


def test_nothing_listed_is_there(tmp_path):
    with pytest.raises(ManifestError, match="none of the 1 videos"):
        load_dataset(_tree(tmp_path, "1 Celeb-real/id9_0009.mp4\n"))


def test_without_a_list_there_are_no_splits(tmp_path):
    found = load_dataset(_tree(tmp_path, None))
    assert {item.split for item in found.items} == {""}
    assert found.notes == ("no List_of_testing_videos.txt: nothing has a split",)


def test_videos_below_and_frames(tmp_path):
    plant(
        tmp_path,
        "Celeb-real/videos/id0_0000.mp4",
        "Youtube-real/videos/00170.mp4",
        "Celeb-synthesis/frames/id0_id16_0000/000.png",
        "Celeb-synthesis/frames/id0_id16_0000/010.png",
    )
    (tmp_path / "List_of_testing_videos.txt").write_text(LISTED)
    found = load_dataset(tmp_path)
    assert [item.split for item in found.items] == ["test"] * 4
    frames = [item for item in found.items if item.label]
    assert {item.extra["video"] for item in frames} == {"Celeb-synthesis/frames/id0_id16_0000"}
    assert {item.source for item in frames} == {"id0_0000"}


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    plant(tmp_path / "elsewhere", "id5_0000.mp4")
    root = _tree(tmp_path / "Celeb-DF")
    (root / "Celeb-real" / "id5_0000.mp4").symlink_to(tmp_path / "elsewhere" / "id5_0000.mp4")
    with pytest.raises(ManifestError, match="a link that leads outside"):
        load_dataset(root)


def test_a_folder_that_is_a_link_itself_is_read(tmp_path):
    _tree(tmp_path / "disk")
    (tmp_path / "Celeb-DF-v1").symlink_to(tmp_path / "disk")
    found = load_dataset(tmp_path / "Celeb-DF-v1")
    assert {item.dataset for item in found.items} == {"celebdf-v1"}
    assert len(found.items) == len(VIDEOS)
