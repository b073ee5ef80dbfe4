"""FaceForensics++: methods, compressions, official splits, and names that must not merge."""

import json

import pytest
from dataset_trees import named, plant

from eval.datasets import load_dataset
from forensics.common.errors import ManifestError, UsageError

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def _tree(root):
    for level in ("c23", "c40"):
        for name in ("000", "003", "071", "054"):
            plant(root, f"original_sequences/youtube/{level}/videos/{name}.mp4")
        for method in METHODS:
            plant(root, *(f"manipulated_sequences/{method}/{level}/videos/{n}.mp4" for n in ("000_003", "071_054")))
    plant(root, "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4")
    plant(root, "original_sequences/actors/c23/videos/01__walking_outside_cafe_disgusted.mp4")
    plant(
        root,
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__walking_outside_cafe_disgusted__YVGY8LOK.mp4",
    )
    return root


def _splits(root, folder="."):
    (root / folder).mkdir(exist_ok=True)
    for name, pairs in (("train", [["071", "054"]]), ("val", [["000", "003"]]), ("test", [["953", "974"]])):
        (root / folder / f"{name}.json").write_text(json.dumps(pairs))


def test_one_name_under_four_methods_is_four_videos_of_one_recording(tmp_path):
    found = load_dataset(_tree(tmp_path), compression="c23")
    same = [item for item in found.items if item.path.stem == "000_003"]
    assert {item.generator for item in same} == {"deepfakes", "face2face", "faceswap", "neuraltextures"}
    assert len({item.extra["video"] for item in same}) == 4
    assert {item.source for item in same} == {item.identity for item in same} == {"000"}
    assert {item.extra["donor"] for item in same} == {"003"}
    original = named(found.items, tmp_path)["original_sequences/youtube/c23/videos/000.mp4"]
    assert (original.label, original.generator, original.source) == (0, "", "000")
    assert original.extra["video"] == "original_sequences/youtube/c23/videos/000"


def test_compressions_and_actors_are_data_sets_of_their_own(tmp_path):
    found = load_dataset(_tree(tmp_path))
    assert found.layout == "ffpp"
    for item in found.items:
        level = next(part for part in item.path.parts if part in ("c23", "c40"))
        is_dfd = {"actors", "DeepFakeDetection"} & set(item.path.parts)
        assert item.dataset == f"{'dfd' if is_dfd else 'ffpp'}-{level}"
        assert item.extra["compression"] == level
    reals = {item.dataset for item in found.items if not item.label}
    assert reals == {item.dataset for item in found.items} == {"ffpp-c23", "ffpp-c40", "dfd-c23"}
    assert not any("masks" in item.path.parts for item in found.items)
    assert len(found.items) == 2 * (4 + 4 * 2) + 2


def test_deepfakedetection_is_traced_to_the_scene_of_the_target_actor(tmp_path):
    dfd = [item for item in load_dataset(_tree(tmp_path)).items if item.dataset == "dfd-c23"]
    assert {item.source for item in dfd} == {"01__walking_outside_cafe_disgusted"}
    assert {item.identity for item in dfd} == {"actor01"}
    fake = next(item for item in dfd if item.label)
    assert (fake.generator, fake.extra["donor"], fake.split) == ("deepfakedetection", "actor02", "")


@pytest.mark.parametrize("folder", [".", "splits"])
def test_official_splits_with_val_as_dev(tmp_path, folder):
    _splits(_tree(tmp_path), folder)
    found = load_dataset(tmp_path)
    by_stem = {item.path.stem: item.split for item in found.items if item.dataset.startswith("ffpp")}
    assert by_stem == {"000": "dev", "003": "dev", "000_003": "dev", "071": "train", "054": "train", "071_054": "train"}
    assert "2 of 6 sequences that the splits list are not here" in found.notes


def test_a_fake_across_two_splits_has_none(tmp_path):
    _splits(_tree(tmp_path))
    plant(tmp_path, "manipulated_sequences/FaceSwap/c23/videos/000_071.mp4")
    found = load_dataset(tmp_path)
    assert next(item.split for item in found.items if item.path.stem == "000_071") == ""
    assert any("join recordings of two splits" in note for note in found.notes)


def test_no_splits_is_said(tmp_path):
    found = load_dataset(_tree(tmp_path))
    assert {item.split for item in found.items} == {""}
    assert "no train.json, val.json, test.json: those splits are empty" in found.notes


def test_frames_of_a_video_share_its_identity_and_are_read_only_without_videos(tmp_path):
    frames = [f"manipulated_sequences/{m}/c23/images/000_003/000{i}.png" for m in METHODS[:2] for i in range(2)]
    plant(tmp_path, *frames, "original_sequences/youtube/c23/frames/000/0001.png")
    plant(tmp_path, "original_sequences/youtube/c23/frames/000/.hidden.png")
    found = load_dataset(tmp_path)
    assert set(named(found.items, tmp_path)) == {*frames, "original_sequences/youtube/c23/frames/000/0001.png"}
    assert len({item.extra["video"] for item in found.items}) == 3
    assert found.items[0].extra["video"] == "manipulated_sequences/Deepfakes/c23/images/000_003"
    assert {item.source for item in found.items} == {"000"}
    plant(tmp_path, "original_sequences/youtube/c23/videos/000.mp4")
    mixed = load_dataset(tmp_path)
    assert [item.path.suffix for item in mixed.items if not item.label] == [".mp4"]
    assert any("kind of file may tell the label" in note for note in mixed.notes)


def test_raw_and_c0_are_one_compression(tmp_path):
    plant(
        tmp_path,
        "original_sequences/youtube/raw/videos/000.mp4",
        "manipulated_sequences/FaceSwap/c0/videos/000_003.mp4",
    )
    for wanted in ("c0", "raw", None):
        assert {item.dataset for item in load_dataset(tmp_path, compression=wanted).items} == {"ffpp-raw"}


def test_a_compression_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="c15") as caught:
        load_dataset(_tree(tmp_path), compression="c15")
    assert "c23, c40" in caught.value.hint


def test_two_files_of_one_stem_stay_two_videos(tmp_path):
    plant(tmp_path, *(f"original_sequences/youtube/c23/videos/000.{suffix}" for suffix in ("mp4", "avi")))
    assert len({item.extra["video"] for item in load_dataset(tmp_path).items}) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["000", "003"],\n ["071"', r"val\.json:2: not JSON"),
        ('[["000", "003"], ["071"]]', r"val\.json: entry 2"),
        ('[["000", 3]]', r"val\.json: entry 1"),
        ('{"000": "003"}', r"val\.json: not a list of pairs"),
        ("[" * 100_000, r"val\.json"),
        ('[["071", "054"]]', "sequence 071 is in the split 'train' too"),
    ],
)
def test_bad_splits_are_named(tmp_path, text, message):
    _splits(_tree(tmp_path))
    (tmp_path / "val.json").write_text(text)
    with pytest.raises(ManifestError, match=message):
        load_dataset(tmp_path)


def test_splits_of_another_collection(tmp_path):
    _tree(tmp_path)
    (tmp_path / "train.json").write_text('[["500", "501"]]')
    with pytest.raises(ManifestError, match="none of the sequences"):
        load_dataset(tmp_path)


def test_names_that_tell_no_original_are_counted(tmp_path):
    plant(
        tmp_path,
        "manipulated_sequences/FaceSwap/c23/videos/swap_a.mp4",
        "original_sequences/youtube/c23/videos/000.mp4",
    )
    found = load_dataset(tmp_path)
    assert {item.source for item in found.items} == {"swap_a", "000"}
    assert any(note.startswith("1 video named in another form") for note in found.notes)


def test_a_folder_that_is_no_original_is_left_out(tmp_path):
    plant(_tree(tmp_path), "original_sequences/mine/c23/videos/holiday.mp4")
    found = load_dataset(tmp_path)
    assert "original_sequences/mine was left out: originals lie in youtube and actors" in found.notes
    assert all(item.path.stem != "holiday" for item in found.items)
