"""DeepfakeBench's lists: their nesting, other machines' paths, overlaps, labels."""

import json

import pytest
from dataset_trees import named, plant

from eval.datasets import load_dataset
from forensics.common.errors import ManifestError, UsageError

FF = "FaceForensics++"


def _frames(*folders, n=2, prefix=""):
    return [f"{prefix}{folder}/{i:03d}.png" for folder in folders for i in range(n)]


def _video(label, frames):
    return {"label": label, "frames": frames, "masks": []}


def _ff_folder(method, name, level="c23"):
    top = "original_sequences/youtube" if method == "real" else f"manipulated_sequences/{method}"
    return f"{FF}/{top}/{level}/frames/{name}"


def _ff_list(prefix="", level="c23", backslashes=False):
    def frames(method, name):
        paths = _frames(_ff_folder(method, name, level), prefix=prefix)
        return [path.replace("/", "\\") for path in paths] if backslashes else paths

    return {
        FF: {
            "FF-real": {
                "train": {level: {}},
                "val": {level: {"000": _video("FF-real", frames("real", "000"))}},
                "test": {},
            },
            "FF-DF": {"val": {level: {"000_003": _video("FF-DF", frames("Deepfakes", "000_003"))}}},
            "FF-F2F": {"val": {level: {"000_003": _video("FF-F2F", frames("Face2Face", "000_003"))}}},
        }
    }


def _write(root, name, content, folder="preprocessing/dataset_json"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def _plant_ff(root, base="", level="c23"):
    for method, name in (("real", "000"), ("Deepfakes", "000_003"), ("Face2Face", "000_003")):
        plant(root, *_frames(f"{base}{_ff_folder(method, name, level)}"))
    return root


@pytest.mark.parametrize(
    ("prefix", "base", "backslashes"),
    [
        ("", "", False),
        ("", "datasets/rgb/", False),
        ("./datasets/", "datasets/", True),
        ("/home/someone/disk/", "", False),
        ("F:/data/sets/", "rgb/", True),
    ],
)
def test_paths_of_another_machine_are_found_below_the_root(tmp_path, prefix, base, backslashes):
    _plant_ff(tmp_path, base)
    _write(tmp_path, FF, _ff_list(prefix, backslashes=backslashes))
    found = load_dataset(tmp_path)
    assert (found.layout, found.notes, found.root) == ("deepfakebench", (), tmp_path)
    items = named(found.items, tmp_path)
    assert set(items) == {f"{base}{path}" for path in _frames(*_FOLDERS)}
    assert {item.dataset for item in items.values()} == {"ffpp-c23"}
    assert {item.split for item in items.values()} == {"dev"}
    assert {item.view for item in items.values()} == {"scene"}


_FOLDERS = (_ff_folder("real", "000"), _ff_folder("Deepfakes", "000_003"), _ff_folder("Face2Face", "000_003"))


def test_methods_do_not_merge_and_are_traced_to_the_original(tmp_path):
    found = load_dataset(_write(_plant_ff(tmp_path), FF, _ff_list()))
    by_video = {item.extra["video"]: item for item in found.items}
    assert set(by_video) == set(_FOLDERS)
    assert [by_video[folder].generator for folder in _FOLDERS] == ["", "deepfakes", "face2face"]
    assert [by_video[folder].label for folder in _FOLDERS] == [0, 1, 1]
    assert {item.source for item in found.items} == {"000"}
    assert by_video[_FOLDERS[1]].extra == {"video": _FOLDERS[1], "donor": "003", "compression": "c23"}


def test_one_list_alone_or_its_folder(tmp_path):
    _write(_plant_ff(tmp_path), FF, _ff_list())
    lists = tmp_path / "preprocessing" / "dataset_json"
    whole = load_dataset(tmp_path)
    assert load_dataset(lists).items == load_dataset(lists / f"{FF}.json").items == whole.items


def test_overlapping_lists_give_each_frame_once(tmp_path):
    whole = _ff_list()
    part = {"FF-DF": {label: whole[FF][label] for label in ("FF-real", "FF-DF")}}
    _write(_write(_plant_ff(tmp_path), FF, whole), "FF-DF", part)
    found = load_dataset(tmp_path)
    assert len(found.items) == 6
    assert {item.dataset for item in found.items} == {"ffpp-c23"}
    assert "4 repeated entries in the lists: each frame is read once" in found.notes


@pytest.mark.parametrize(
    ("splits", "expected"), [(("train", "val", "test"), "test"), (("val", "train"), "train"), (("val",), "dev")]
)
def test_a_video_in_several_splits(tmp_path, splits, expected):
    folders = ("Celeb-DF-v2/Celeb-real/frames/id0_0000", "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000")
    content = {
        "Celeb-DF-v2": {
            label: {split: {folder.rsplit("/", 1)[1]: _video(label, _frames(folder))} for split in splits}
            for label, folder in zip(("CelebDFv2_real", "CelebDFv2_fake"), folders, strict=True)
        }
    }
    found = load_dataset(_write(plant(tmp_path, *_frames(*folders)), "Celeb-DF-v2", content))
    assert {item.split for item in found.items} == {expected}
    assert {item.dataset for item in found.items} == {"celebdf-v2"}
    fake = found.items[-1]
    assert (fake.generator, fake.source, fake.identity) == ("celeb-synthesis", "id0_0000", "id0")
    assert any("in several splits" in note for note in found.notes) == (len(splits) > 1)


def test_compressions(tmp_path):
    for level in ("c23", "c40"):
        _plant_ff(tmp_path, level=level)
    content = _ff_list()
    for label, splits in _ff_list(level="c40")[FF].items():
        content[FF][label]["val"] |= splits["val"]
    _write(tmp_path, FF, content)
    assert {item.dataset for item in load_dataset(tmp_path).items} == {"ffpp-c23", "ffpp-c40"}
    assert {item.dataset for item in load_dataset(tmp_path, compression="c40").items} == {"ffpp-c40"}
    with pytest.raises(UsageError, match="no compression raw") as caught:
        load_dataset(tmp_path, compression="raw")
    assert "c23, c40" in caught.value.hint


def test_labels_of_other_lists(tmp_path):
    labels = {"DFDCP_Real": "", "DFDCP_FakeA": "dfdcp-a", "UADFV_Real": "", "UADFV_Fake": "uadfv", "DF_fake": "df-vae"}
    for label, generator in labels.items():
        folder = f"sets/{label}/x/frames/v1"
        plant(tmp_path, *_frames(folder, n=1))
        _write(tmp_path, label, {"Mixed": {label: {"test": {"v1": _video(label, _frames(folder, n=1))}}}})
        item = load_dataset(tmp_path / "preprocessing" / "dataset_json" / f"{label}.json").items[0]
        assert (item.label, item.generator) == (int(bool(generator)), generator)
        assert item.dataset == "mixed"


def test_df40_names_the_method_and_its_domain(tmp_path):
    real, fake = _ff_folder("real", "993"), "DF40/facedancer/ff/frames/993_989"
    prefix = "deepfakes_detection_datasets/"
    plant(tmp_path, *_frames(real, fake))
    fakes = {"993_989_facedancer": _video("facedancer_Fake", _frames(fake, prefix=prefix))}
    content = {
        "facedancer_ff": {
            "facedancer_Real": {"test": {"993": _video("facedancer_Real", _frames(real, prefix=prefix))}},
            "facedancer_Fake": {"test": fakes},
        }
    }
    _write(tmp_path, "facedancer_ff", content)
    every = {"FSAll_ff": {"FSAll_Fake": {"test": {k: _video("FSAll_Fake", v["frames"]) for k, v in fakes.items()}}}}
    _write(tmp_path, "FSAll_ff", every)
    found = load_dataset(tmp_path)
    assert {(item.dataset, item.generator, item.source) for item in found.items} == {
        ("df40-ff", "", "993"),
        ("df40-ff", "facedancer", "993"),
    }


def test_missing_frames_are_counted_unless_all_are(tmp_path):
    _write(_plant_ff(tmp_path), FF, _ff_list("/elsewhere/"))
    for path in _frames(_FOLDERS[1]) + _frames(_FOLDERS[2])[:1]:
        (tmp_path / path).unlink()
    found = load_dataset(tmp_path)
    assert len(found.items) == 3
    assert "3 listed frames not here, among them all of 1 video" in found.notes
    for item in found.items:
        item.path.unlink()
    with pytest.raises(ManifestError, match="none of the 6 listed frames"):
        load_dataset(tmp_path)


def test_a_root_inside_one_method_does_not_lend_its_frames_to_another(tmp_path):
    """In the folder of Deepfakes, c23/frames/000_003 is that method's: a list of Face2Face must not find it."""
    plant(tmp_path, *_frames("c23/frames/000_003"))
    content = _ff_list("/data/")
    del content[FF]["FF-DF"]
    _write(tmp_path, "FF-F2F", content)
    with pytest.raises(ManifestError, match="none of the 4 listed frames"):
        load_dataset(tmp_path)


def test_two_methods_that_lead_to_one_file_are_refused(tmp_path):
    """Both entries end in the same five folders: the root is one that DeepfakeBench does not know."""
    content = json.dumps(_ff_list()).replace("manipulated_sequences/Deepfakes", "df/all/x")
    content = content.replace("manipulated_sequences/Face2Face", "f2f/all/x").replace(
        "original_sequences/youtube", "o/all/y"
    )
    _write(plant(tmp_path, *_frames("all/x/c23/frames/000_003")), FF, content)
    with pytest.raises(ManifestError, match="lead to one file"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.replace('"label": "FF-DF"', '"label": "FF-XY"'), "FF-DF/000_003: label is 'FF-XY'"),
        (
            lambda x: x.replace('"label": "FF-DF"', '"label": "FF-real"'),
            "FF-DF/000_003: label is 'FF-real' under FF-DF",
        ),
        (lambda x: x.replace('"label": "FF-DF"', '"label": 1'), "has no label and list of frames"),
        (lambda x: x.replace("FF-DF", "Unknown"), "label is 'Unknown'"),
        (lambda x: x.replace("Deepfakes/c23", "../../../../../../c23"), "leads outside"),
        (lambda x: x.replace("Deepfakes/c23", "..\\\\..\\\\c23"), "leads outside"),
        (lambda x: x.replace('"FF-F2F": {"val"', '"FF-F2F": {"holdout"'), "split is 'holdout'"),
        (lambda x: x.replace('"masks": []', '"masks": [}'), r"FaceForensics\+\+\.json:1: not JSON"),
        (lambda x: x.replace("FF-DF", "FF-F2F"), "is there twice, and differs"),
        (lambda x: x.replace("Face2Face", "../Face2Face"), "leads outside"),
    ],
)
def test_bad_lists_are_named(tmp_path, change, message):
    _write(_plant_ff(tmp_path), FF, change(json.dumps(_ff_list())))
    with pytest.raises(ManifestError, match=message):
        load_dataset(tmp_path)


def test_one_file_as_real_and_fake_is_refused(tmp_path):
    content = json.dumps(_ff_list()).replace("manipulated_sequences/Deepfakes", "original_sequences/youtube")
    _write(_plant_ff(tmp_path), FF, content.replace("frames/000_003", "frames/000"))
    with pytest.raises(ManifestError, match="is real in one list, fake in another"):
        load_dataset(tmp_path)


def test_a_link_to_elsewhere_is_refused(tmp_path):
    root = _write(_plant_ff(tmp_path / "root"), FF, _ff_list())
    plant(tmp_path, "secret.png")
    target = root / _frames(_FOLDERS[1])[0]
    target.unlink()
    target.symlink_to(tmp_path / "secret.png")
    with pytest.raises(ManifestError, match="a link that leads outside"):
        load_dataset(root)


def test_a_split_without_names_of_videos_is_left_out(tmp_path):
    """rearrange.py of DeepfakeBench writes one test video of DFDC in place of the list of val."""
    folders = ("DFDC/test/x/frames/aaa", "DFDC/test/x/frames/bbb")
    plant(tmp_path, *_frames(*folders))
    bare = _video("DFDC_Real", _frames(folders[0]))
    content = {
        "DFDC": {
            "DFDC_Real": {"train": {}, "test": {"aaa": bare}, "val": bare},
            "DFDC_Fake": {"train": {}, "test": {"bbb": _video("DFDC_Fake", _frames(folders[1]))}},
        }
    }
    found = load_dataset(_write(tmp_path, "DFDC", content))
    assert {item.split for item in found.items} == {"test"}
    assert found.notes == ("1 split without names of videos left out",)
