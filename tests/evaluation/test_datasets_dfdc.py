"""DFDC: parts, their metadata, and fakes linked to originals."""

import json

import pytest
from dataset_trees import named, plant

from eval.datasets import load_dataset
from forensics.common.errors import ManifestError

PART = {
    "aaa.mp4": {"label": "REAL", "split": "train"},
    "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
    "ccc.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
}


def _part(root, name, content, videos=None):
    plant(root / name, *(content if videos is None else videos))
    text = content if isinstance(content, str) else json.dumps(content)
    (root / name / "metadata.json").write_text(text)
    return root


def test_fakes_cluster_with_their_original(tmp_path):
    _part(tmp_path, "dfdc_train_part_0", PART)
    _part(
        tmp_path,
        "dfdc_train_part_01/dfdc_train_part_1",
        {"ddd.mp4": {"label": "REAL", "split": "train", "original": None}},
    )
    found = load_dataset(tmp_path)
    assert (found.layout, found.notes) == ("dfdc", ())
    items = named(found.items, tmp_path)
    assert [item.label for item in items.values()] == [0, 1, 1, 0]
    assert [item.source for item in items.values()] == ["aaa", "aaa", "aaa", "ddd"]
    fake = items["dfdc_train_part_0/bbb.mp4"]
    assert (fake.generator, fake.dataset, fake.split) == ("dfdc", "dfdc", "train")
    assert fake.extra["video"] == "dfdc_train_part_0/bbb"


def test_a_single_part_and_the_forms_of_validation_and_test(tmp_path):
    assert len(load_dataset(_part(tmp_path / "sample", ".", PART)).items) == 3
    root = tmp_path / "all"
    _part(root, "test", {"eee.mp4": {"is_fake": 1}, "fff.mp4": {"is_fake": 0}})
    plant(root, "validation/videos/ggg.mp4", "validation/videos/hhh.mp4")
    (root / "validation" / "labels.csv").write_text("filename,label\nggg.mp4,1\nhhh.mp4,0\n")
    found = load_dataset(root)
    assert {item.path.stem: (item.label, item.split) for item in found.items} == {
        "eee": (1, "test"),
        "fff": (0, "test"),
        "ggg": (1, "dev"),
        "hhh": (0, "dev"),
    }
    assert found.notes == ("2 fakes listed without an original: each is taken as a recording of its own",)


def test_missing_videos_are_counted_unless_all_are(tmp_path):
    _part(tmp_path, "dfdc_train_part_0", PART, videos=["aaa.mp4", "bbb.mp4"])
    assert load_dataset(tmp_path).notes == ("1 of 3 listed videos not here",)
    (tmp_path / "dfdc_train_part_0" / "aaa.mp4").unlink()
    (tmp_path / "dfdc_train_part_0" / "bbb.mp4").unlink()
    with pytest.raises(ManifestError, match="none of the 3 videos"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"aaa.mp4": {"label": "MAYBE"}}, "'aaa.mp4': label is 'MAYBE'"),
        ({"aaa.mp4": {"label": 1}}, "'aaa.mp4': label is 1"),
        ({"aaa.mp4": {"is_fake": 2}}, "'aaa.mp4': neither a label"),
        ({"aaa.mp4": {"label": "REAL", "split": "holdout"}}, "split is 'holdout'"),
        ({"aaa.mp4": {"label": "FAKE", "original": ["x"]}}, "original is"),
        ({"aaa.mp4": {"label": "REAL"}, "bbb.mp4": "FAKE"}, "'bbb.mp4' has no label"),
        ({"../aaa.mp4": {"label": "REAL"}}, "leads outside"),
        ({"/etc/passwd": {"label": "REAL"}}, "leads outside"),
        ('{"aaa.mp4": {"label": "REAL"},\n\n"bbb.mp4": ', r"metadata\.json:3: not JSON"),
        ('{"aaa.mp4": {"label": "REAL"}, "aaa.mp4": {"label": "FAKE"}}', "'aaa.mp4' is there twice, and differs"),
    ],
)
def test_bad_metadata_is_named(tmp_path, content, message):
    with pytest.raises(ManifestError, match=message):
        load_dataset(_part(tmp_path, "dfdc_train_part_0", content, videos=["aaa.mp4"]))


def test_bad_labels_are_named_with_their_line(tmp_path):
    plant(tmp_path, "test/aaa.mp4")
    (tmp_path / "test" / "labels.csv").write_text("filename,label\naaa.mp4,1\nbbb.mp4,FAKE\n")
    with pytest.raises(ManifestError, match=r"labels\.csv:3: label is 'FAKE'"):
        load_dataset(tmp_path)


def test_repeated_keys_are_read_once(tmp_path):
    text = '{"aaa.mp4": {"label": "REAL"}, "aaa.mp4": {"label": "REAL"}}'
    found = load_dataset(_part(tmp_path, "dfdc_train_part_0", text, videos=["aaa.mp4"]))
    assert len(found.items) == 1
    assert "1 repeated in the lists, read once" in found.notes


def test_a_link_from_the_list_to_elsewhere_is_refused(tmp_path):
    plant(tmp_path / "elsewhere", "aaa.mp4")
    root = _part(tmp_path / "dfdc", "dfdc_train_part_0", PART, videos=["bbb.mp4"])
    (root / "dfdc_train_part_0" / "aaa.mp4").symlink_to(tmp_path / "elsewhere" / "aaa.mp4")
    with pytest.raises(ManifestError, match="a link that leads outside"):
        load_dataset(root)
