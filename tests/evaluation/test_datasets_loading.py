"""Which layout a path has, and manifests."""

import json
from pathlib import Path

import pytest
from dataset_trees import plant

from eval.datasets import LAYOUTS, load_dataset
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item, read_manifest, write_manifest

TREES = {
    "ffpp": ("original_sequences/youtube/c23/videos/000.mp4", "manipulated_sequences/FaceSwap/c23/videos/000_003.mp4"),
    "celebdf": ("Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4", "YouTube-real/00001.mp4"),
    "dfdc": ("dfdc_train_part_0/aaa.mp4", "dfdc_train_part_0/bbb.mp4"),
    "deepfakebench": ("sets/a/b/frames/v/0.png",),
    "folder": ("real/a.png", "fake/b.png"),
    "manifest": ("images/a.png", "images/b.png"),
}
LISTS = {
    "dfdc": ("dfdc_train_part_0/metadata.json", {"aaa.mp4": {"label": "REAL"}, "bbb.mp4": {"label": "FAKE"}}),
    "deepfakebench": (
        "dataset_json/X.json",
        {"X": {"X_Fake": {"test": {"v": {"label": "X_Fake", "frames": ["sets/a/b/frames/v/0.png"]}}}}},
    ),
}


def _tree(root, layout):
    plant(root, *TREES[layout])
    if layout in LISTS:
        name, content = LISTS[layout]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))
    if layout == "manifest":
        write_manifest(root / "manifest.csv", [Item(root / name, int("b" in name)) for name in TREES[layout]])
    return root


@pytest.mark.parametrize("layout", sorted(TREES))
def test_each_layout_is_told_from_the_others(tmp_path, layout):
    root = _tree(tmp_path, layout)
    assert [name for name, candidate in LAYOUTS.items() if candidate.recognises(root)] == [layout]
    found = load_dataset(root)
    assert found.layout == layout
    assert found == load_dataset(root, layout=layout)
    assert all("video" in item.extra and item.path.is_absolute() for item in found.items)


def test_layouts_describe_themselves():
    assert set(LAYOUTS) == set(TREES)
    for name, layout in LAYOUTS.items():
        assert layout.name == name
        assert layout.description and "\n" not in layout.description
        assert layout.looks and "\n" not in layout.looks


def test_two_layouts_are_named_and_a_choice_settles_it(tmp_path):
    _tree(_tree(tmp_path, "folder"), "celebdf")
    with pytest.raises(UsageError, match="can be read as celebdf and folder") as caught:
        load_dataset(tmp_path)
    assert "--layout" in caught.value.hint
    assert load_dataset(tmp_path, layout="celebdf").layout == "celebdf"


def test_nothing_recognised_says_what_there_is(tmp_path):
    plant(tmp_path, "pictures/a.png")
    with pytest.raises(UsageError, match="cannot tell how") as caught:
        load_dataset(tmp_path)
    for name, layout in LAYOUTS.items():
        assert f"{name}: {layout.looks}" in caught.value.hint


def test_a_data_set_one_folder_down_is_pointed_to(tmp_path):
    _tree(tmp_path / "FaceForensics++", "ffpp")
    with pytest.raises(UsageError) as caught:
        load_dataset(tmp_path)
    assert f"{tmp_path}/FaceForensics++ looks like ffpp" in caught.value.hint


def test_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_dataset(tmp_path / "absent")
    with pytest.raises(UsageError, match="unknown layout 'imagenet'") as caught:
        load_dataset(tmp_path, layout="imagenet")
    assert "auto, manifest, ffpp" in caught.value.hint
    with pytest.raises(UsageError, match="'celebdf' has no compressions"):
        load_dataset(_tree(tmp_path / "c", "celebdf"), compression="c23")
    with pytest.raises(ManifestError, match="holds no pictures or videos in the layout 'ffpp'"):
        (tmp_path / "e" / "original_sequences").mkdir(parents=True)
        load_dataset(tmp_path / "e")


def test_other_json_files_are_no_lists(tmp_path):
    """FaceForensics++'s splits and conversion_dict.json lie in its root; DFDC's name is common."""
    _tree(tmp_path, "ffpp")
    (tmp_path / "conversion_dict.json").write_text('{"000": "abc 3", "001": "def 1"}')
    (tmp_path / "metadata.json").write_text('{"info": {"year": 2019}}')
    assert load_dataset(tmp_path).layout == "ffpp"


def test_one_class_is_said(tmp_path):
    found = load_dataset(plant(tmp_path, "original_sequences/youtube/c23/videos/000.mp4"))
    assert "only reals: figures that need both classes are undefined" in found.notes


def test_a_manifest_file_keeps_its_rows_and_columns(tmp_path):
    rows = [
        Item(tmp_path / "b.mp4", 1, "stylegan", "mine", "s1", "p1", "test", "scene", extra={"seed": "4"}),
        Item(tmp_path / "a.png", 0, "", "mine", "s1", "p1", "dev", "face", extra={"video": "clip 7"}),
    ]
    plant(tmp_path, "a.png", "b.mp4")
    write_manifest(tmp_path / "rows.csv", rows)
    found = load_dataset(tmp_path / "rows.csv")
    assert (found.layout, found.root, found.notes) == ("manifest", tmp_path, ())
    assert [item.path.name for item in found.items] == ["b.mp4", "a.png"]
    assert found.items[0].extra == {"seed": "4", "video": "b"}
    assert found.items[1].extra["video"] == "clip 7"
    assert [item.split for item in found.items] == ["test", "dev"]


def test_a_manifest_may_name_files_elsewhere_and_misses_are_counted(tmp_path):
    plant(tmp_path, "here/a.png", "there/b.png")
    (tmp_path / "here" / "manifest.csv").write_text("path,label\na.png,0\n../there/b.png,1\ngone.png,1\n./a.png,0\n")
    found = load_dataset(tmp_path / "here")
    assert [item.label for item in found.items] == [0, 1]
    assert set(found.notes) == {"1 of 4 files of the manifest not here", "1 repeated row read once"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,0\na.png,1\n", "as real and as fake"),
        ("path,label\ngone.png,0\n", "none of the 1 file "),
        ("path,label\na.png,real\n", r"manifest\.csv:2: label is 'real'"),
        ("path\na.png\n", "no column 'label'"),
    ],
)
def test_bad_manifests_are_named(tmp_path, text, message):
    (plant(tmp_path, "a.png") / "manifest.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        load_dataset(tmp_path)


def test_a_manifest_chooses_by_its_column_of_compressions(tmp_path):
    plant(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "manifest.csv").write_text("path,label,compression\na.mp4,0,c23\nb.mp4,1,c0\n")
    assert [item.path.name for item in load_dataset(tmp_path, compression="raw").items] == ["b.mp4"]
    with pytest.raises(UsageError, match="no row at compression c40"):
        load_dataset(tmp_path, compression="c40")


@pytest.mark.parametrize("layout", sorted(TREES))
def test_what_was_read_can_be_written_as_a_manifest_and_read_again(tmp_path, layout):
    items = load_dataset(_tree(tmp_path / "set", layout)).items
    write_manifest(tmp_path / "copy.csv", items)
    assert load_dataset(tmp_path / "copy.csv").items == items


def test_the_development_data_load(data_folder):
    for name in ("ffhq_stylegan", "clips"):
        found = load_dataset(data_folder / name)
        assert len(found.items) == len(read_manifest(data_folder / name / "manifest.csv"))
        assert found.notes == ()


# Longer than a name may be; longer than a path may be; half of a character; nothing that a path may hold.
NO_FILES = ["a" * 300 + ".png", "a/" * 3000 + "b.png", "\ud800.png", "\udfff/b.png", "a\0b.png"]


@pytest.mark.parametrize("name", NO_FILES)
def test_a_data_set_of_an_impossible_name_is_not_there(name):
    with pytest.raises(UsageError, match="no such file or folder"):
        load_dataset(Path(name))


@pytest.mark.parametrize("name", [NO_FILES[0], NO_FILES[1], NO_FILES[4]])
def test_a_manifest_s_rows_of_impossible_names_are_not_there(tmp_path, name):
    (plant(tmp_path, "a.png") / "manifest.csv").write_text(f"path,label\na.png,0\n{name},1\n")
    assert "1 of 2 files of the manifest not here" in load_dataset(tmp_path).notes


@pytest.mark.parametrize("name", NO_FILES)
def test_a_list_s_entries_of_impossible_names_are_not_there(tmp_path, name):
    root = _tree(tmp_path, "deepfakebench")
    frames = [f"sets/a/b/frames/{name}", "sets/a/b/frames/v/0.png"]
    content = {"X": {"X_Fake": {"test": {"v": {"label": "X_Fake", "frames": frames}}}}}
    (root / "dataset_json" / "X.json").write_text(json.dumps(content))
    if "\0" in name:
        with pytest.raises(ManifestError, match="outside"):
            load_dataset(root)
        return
    assert len(load_dataset(root).items) == 1


@pytest.mark.parametrize("name", NO_FILES)
def test_a_challenge_s_entries_of_impossible_names_are_typed(tmp_path, name):
    root = _tree(tmp_path, "dfdc")
    content = {**LISTS["dfdc"][1], name: {"label": "FAKE"}}
    (root / "dfdc_train_part_0" / "metadata.json").write_text(json.dumps(content))
    try:
        found = load_dataset(root)
    except ManifestError as error:
        assert "outside" in error.message or "no name" in error.message
    else:
        assert len(found.items) == 2
