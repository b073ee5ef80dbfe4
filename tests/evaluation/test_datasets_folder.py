"""Folders named real and fake, with generators and splits above or below."""

import pytest
from dataset_trees import named, plant

from eval.datasets import load_dataset
from forensics.common.errors import ManifestError


def _load(root, *names):
    found = load_dataset(plant(root, *names))
    assert found.layout == "folder"
    return named(found.items, root), found


def test_real_and_fake_in_any_case(tmp_path):
    items, found = _load(
        tmp_path / "mine", "Real/a.jpg", "FAKE/b.png", "FAKE/StyleGAN/c.png", "Real/note.txt", "Real/.d.jpg"
    )
    assert {name: (item.label, item.generator) for name, item in items.items()} == {
        "Real/a.jpg": (0, ""),
        "FAKE/b.png": (1, ""),
        "FAKE/StyleGAN/c.png": (1, "stylegan"),
    }
    assert {item.dataset for item in items.values()} == {"mine"}
    assert {item.extra["video"] for item in items.values()} == {""}
    assert len({item.source for item in items.values()}) == 3
    assert found.notes == ("1 fake without a generator: none of the folders names it",)


@pytest.mark.parametrize("form", ["{split}/{label}/{name}", "{label}/{split}/{name}", "{label}/glow/{split}/{name}"])
def test_splits_above_and_below(tmp_path, form):
    names = {
        form.format(split=split, label=label, name="a.png"): expected
        for split, expected in (("train", "train"), ("Val", "dev"), ("test", "test"))
        for label in ("real", "fake")
    }
    items, _ = _load(tmp_path, *names)
    assert {name: item.split for name, item in items.items()} == names
    generators = {item.generator for item in items.values() if item.label}
    assert generators == ({"glow"} if "glow" in form else {""})


def test_generators_with_reals_of_their_own(tmp_path):
    root = tmp_path / "testset"
    names = [f"{g}/{label}/{i}.png" for g in ("progan", "stargan") for label in ("0_real", "1_fake") for i in range(2)]
    items, found = _load(root, *names)
    assert {(item.dataset, item.label, item.generator) for item in items.values()} == {
        ("testset-progan", 0, ""),
        ("testset-progan", 1, "progan"),
        ("testset-stargan", 0, ""),
        ("testset-stargan", 1, "stargan"),
    }
    assert found.notes == ()


def test_classes_of_objects_one_of_which_is_called_train(tmp_path):
    classes = ("airplane", "sofa", "train", "tvmonitor")
    places = [f"{c}/{label}/0.png" for c in classes for label in ("0_real", "1_fake")]
    items, _ = _load(tmp_path, *(f"{split}/progan/{place}" for split in ("test", "val") for place in places))
    assert {(name.split("/")[0], item.split) for name, item in items.items()} == {("test", "test"), ("val", "dev")}
    assert {item.dataset for item in items.values()} == {f"{tmp_path.name}-progan"}
    assert {item.generator for item in items.values() if item.label} == {"progan"}


def test_videos_and_frames(tmp_path):
    items, _ = _load(
        tmp_path,
        "fake/frames/0000_fake/000.png",
        "fake/frames/0000_fake/010.png",
        "fake/sora/videos/0000.mp4",
        "real/videos/0000.mp4",
        "real/videos/0000.mov",
    )
    videos = {name: item.extra["video"] for name, item in items.items()}
    assert videos["fake/frames/0000_fake/000.png"] == videos["fake/frames/0000_fake/010.png"] == "fake/frames/0000_fake"
    assert videos["fake/sora/videos/0000.mp4"] == "fake/sora/videos/0000"
    assert len(set(videos.values())) == 4
    assert items["fake/sora/videos/0000.mp4"].generator == "sora"
    assert items["fake/frames/0000_fake/000.png"].generator == ""
    assert items["fake/frames/0000_fake/000.png"].source == "fake/frames/0000_fake"


def test_files_outside_are_counted(tmp_path):
    items, found = _load(tmp_path, "real/a.png", "fake/x/b.png", "teaser.png")
    assert set(items) == {"real/a.png", "fake/x/b.png"}
    assert found.notes == ("1 file outside real/ and fake/ left out",)


@pytest.mark.parametrize(
    ("name", "message"),
    [("real/fake/a.png", "in real and in fake at once"), ("train/real/test/a.png", "in two splits at once")],
)
def test_contradictory_paths_are_refused(tmp_path, name, message):
    plant(tmp_path, "train/fake/test/b.png", "real/c.png", "fake/c.png", name)
    with pytest.raises(ManifestError, match=message):
        load_dataset(tmp_path, layout="folder")


def test_links_inside_are_followed_and_a_loop_ends(tmp_path):
    plant(tmp_path, "store/a.png", "real/b.png")
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "gan").symlink_to(tmp_path / "store")
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real")
    found = load_dataset(tmp_path)
    assert {(item.path.name, item.label) for item in found.items} == {("a.png", 1), ("b.png", 0)}


def test_a_link_that_leaves_is_refused(tmp_path):
    plant(tmp_path, "elsewhere/a.png")
    root = plant(tmp_path / "set", "real/b.png", "fake/c.png")
    (root / "fake" / "gan").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ManifestError, match="a link that leads outside"):
        load_dataset(root)


def test_order_is_that_of_the_paths(tmp_path):
    _, found = _load(tmp_path, *(f"real/{i}.png" for i in (3, 1, 2)), "fake/x/9.png")
    assert [item.path for item in found.items] == sorted(item.path for item in found.items)
