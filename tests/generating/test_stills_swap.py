"""The family of swaps: who gets whose face, what is written, and that it can be stopped and repeated."""

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from stills_people import BORDER, LANDMARKS, KnowingDetector, face_crop, tree, write_people

from forensics.cli import cli
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.progress import Progress
from generators.provenance import COMMENT
from generators.stills.config import SwapStillsConfig
from generators.stills.donors import FARTHEST_TURN, Donors, are_two
from generators.stills.folder import REAL_COMMENT, jpeg
from generators.stills.located import Still, landmarks_of, locate, read_still
from generators.stills.swap import swap_stills

QUIET = Progress(quiet=True)
CONFIG = SwapStillsConfig(per_picture=2)


@pytest.fixture(scope="module")
def people(tmp_path_factory, portrait):
    return write_people(tmp_path_factory.mktemp("people"), portrait)


@pytest.fixture(scope="module")
def made(tmp_path_factory, people):
    folder = tmp_path_factory.mktemp("made") / "own"
    swap_stills([people], folder, CONFIG, KnowingDetector(), QUIET)
    return folder


def still(index, turn=(0.0, 0.0), **fields):
    item = Item(Path(f"/{index}.png"), 0, "", "d", **{"source": f"s{index}", "split": "train", "view": "face"} | fields)
    return Still(index, item, LANDMARKS, np.array(turn))


# -- donors


def test_a_donor_is_somebody_else_of_the_same_split():
    crowd = [still(k, identity=f"p{k % 3}", split="train" if k < 12 else "dev") for k in range(18)]
    donors = Donors(crowd, seed=1, drawn=4)
    for target in crowd:
        for number in range(5):
            donor = donors.choose(target, number)
            assert donor.item.identity != target.item.identity and donor.item.split == target.item.split


def test_a_donor_is_the_nearest_in_pose_of_those_drawn():
    crowd = [still(k, turn=(0.05 * k, 0)) for k in range(6)]
    assert Donors(crowd, 0, 100).choose(crowd[5], 0).index == 4
    assert {Donors(crowd, 0, 1).choose(crowd[2], number).index for number in range(40)} == {0, 1, 3, 4, 5}


def test_there_may_be_no_donor():
    assert Donors([still(0)], 0, 8).choose(still(0), 0) is None
    far = [still(0), still(1, turn=(FARTHEST_TURN + 0.01, 0))]
    assert Donors(far, 0, 8).choose(far[0], 0) is None
    assert not are_two(still(0, source="a").item, still(1, source="a").item)
    assert not are_two(still(0, source="", identity="x").item, still(1, source="", identity="x").item)
    assert are_two(still(0, source="").item, still(1, source="").item)


def test_no_more_people_are_asked_than_are_drawn(monkeypatch):
    asked = []
    monkeypatch.setattr("generators.stills.donors.are_two", lambda a, b: asked.append(a) or are_two(a, b))
    crowd = [still(k) for k in range(200)]
    assert Donors(crowd, 0, 3).choose(crowd[7], 0) is not None
    assert 3 <= len(asked) <= 4


# -- faces


def test_a_tight_crops_landmarks_are_moved_back(portrait):
    found = landmarks_of(face_crop(portrait), "face", KnowingDetector())
    assert np.allclose(found, LANDMARKS)
    assert BORDER == 34


def test_mtcnn_finds_the_tight_crop(portrait):
    import torch

    from forensics.faces.mtcnn import MtcnnDetector

    found = landmarks_of(face_crop(portrait), "face", MtcnnDetector(torch.device("cpu")))
    assert np.abs(found - LANDMARKS).max() < 3


def test_a_large_picture_is_reduced(tmp_path, portrait):
    cv2.imwrite(str(tmp_path / "a.png"), portrait[:300])
    assert read_still(tmp_path / "a.png", 256).shape == (150, 256, 3)
    assert read_still(tmp_path / "a.png", 512).shape == (300, 512, 3)


# -- the folder


def test_rows_of_both_classes(made):
    rows = read_manifest(made / "manifest.csv")
    reals, fakes = [r for r in rows if not r.label], [r for r in rows if r.label]
    assert len(reals) == 6 and len(fakes) == 12  # nobody for the one who is black all over
    originals = {row.path.stem: row for row in reals}
    for fake in fakes:
        real = originals[fake.path.stem.split("-")[0]]
        assert (fake.split, fake.identity, fake.source, fake.view) == (
            real.split, real.identity, real.source, "face"
        )  # fmt: skip
        assert fake.dataset == real.dataset == "own_swaps" and fake.generator == "still-swap" and not real.generator
        donor = int(fake.extra["donor"].removeprefix("video"))
        assert ("dev" if donor in (4, 5) else "train") == fake.split and fake.extra["donor"] != fake.source


def test_a_fake_differs_inside_its_mask_alone(made):
    for row in read_manifest(made / "manifest.csv"):
        if row.label:
            fake = cv2.imread(str(row.path)).astype(int)
            real = cv2.imread(str(made / "real" / f"{row.path.stem.split('-')[0]}.jpg")).astype(int)
            mask = cv2.imread(str(made / row.mask), cv2.IMREAD_GRAYSCALE)
            # A JPEG spreads a change over its block of 16 pixels, chroma included.
            far = cv2.dilate(mask, np.ones((33, 33), np.uint8)) == 0
            assert (mask > 127).mean() > 0.03
            assert not (fake != real)[far].any()
            assert np.abs(fake - real)[mask > 200].mean() > 1


def test_the_encoder_does_not_tell_the_classes_apart(made):
    for row in read_manifest(made / "manifest.csv"):
        if row.label:
            fake = Image.open(row.path)
            real = Image.open(made / "real" / f"{row.path.stem.split('-')[0]}.jpg")
            assert fake.quantization == real.quantization and fake.size == real.size
            assert len(fake.info["comment"]) == len(real.info["comment"])
            assert fake.info["comment"].decode().strip() == COMMENT
            assert real.info["comment"].decode().strip() == REAL_COMMENT
    assert len({row.extra["jpeg_quality"] for row in read_manifest(made / "manifest.csv")}) > 2


def test_a_comment_changes_no_pixel(portrait):
    face = face_crop(portrait)
    data = jpeg(face, 80, is_fake=True)
    plain = cv2.imencode(".jpg", face[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), np.array(Image.open(io.BytesIO(plain))))


def test_the_folder_says_that_it_is_synthetic(made):
    assert "synthetic" in (made / "README.txt").read_text().lower()


def test_same_seed_same_bytes_and_another_seed_other_fakes(tmp_path, people, made):
    swap_stills([people], tmp_path / "again", CONFIG, KnowingDetector(), QUIET)
    assert tree(tmp_path / "again") == tree(made)
    other = CONFIG.model_copy(update={"seed": 1})
    swap_stills([people], tmp_path / "other", other, KnowingDetector(), QUIET)
    assert tree(tmp_path / "other")["fake/000000-0.jpg"] != tree(made)["fake/000000-0.jpg"]


def test_a_stopped_command_goes_on_and_a_finished_one_does_nothing(tmp_path, people, made):
    folder = tmp_path / "own"
    swap_stills([people], folder, CONFIG, KnowingDetector(), QUIET)
    for name in ("manifest.csv", "fake/000002-1.jpg", "mask/000001-0.png", "real/000003.jpg"):
        (folder / name).unlink()
    detector = KnowingDetector()
    swap_stills([people], folder, CONFIG, detector, QUIET)
    assert tree(folder) == tree(made) and detector.seen == 0
    (folder / "fake/000002-1.jpg").write_bytes(b"kept")  # a finished folder is not looked into
    swap_stills([people], folder, CONFIG, detector, QUIET)
    assert (folder / "fake/000002-1.jpg").read_bytes() == b"kept"
    (folder / "fake/000002-1.jpg").unlink()  # ... but for what is missing
    swap_stills([people], folder, CONFIG, detector, QUIET)
    assert tree(folder) == tree(made)


def test_another_recipe_is_refused_and_overwritten_when_asked(tmp_path, people, made):
    folder = tmp_path / "own"
    swap_stills([people], folder, CONFIG.model_copy(update={"per_picture": 3}), KnowingDetector(), QUIET)
    with pytest.raises(UsageError, match="--per-picture was 3, not 2"):
        swap_stills([people], folder, CONFIG, KnowingDetector(), QUIET)
    swap_stills([people], folder, CONFIG, KnowingDetector(), QUIET, overwrite=True)
    assert tree(folder) == tree(made)


def test_files_are_never_bound_to_rows_in_another_order(tmp_path, portrait):
    a, b = (write_people(tmp_path / name, portrait, "scene") for name in "ab")
    manifest = swap_stills([a, b], tmp_path / "own", CONFIG, KnowingDetector(), QUIET)
    manifest.unlink()  # as if it had been stopped
    with pytest.raises(UsageError, match="in another order"):
        swap_stills([b, a], tmp_path / "own", CONFIG, KnowingDetector(), QUIET)


def test_a_picture_more_in_a_plain_folder_is_another_recipe(tmp_path, portrait):
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in "bcd":
        cv2.imwrite(str(plain / f"{name}.png"), face_crop(portrait))
    manifest = swap_stills([plain], tmp_path / "own", CONFIG, KnowingDetector(), QUIET)
    manifest.unlink()
    cv2.imwrite(str(plain / "a.png"), face_crop(portrait))
    with pytest.raises(UsageError, match="the reals chosen of the data are others"):
        swap_stills([plain], tmp_path / "own", CONFIG, KnowingDetector(), QUIET)


def test_a_picture_that_changed_is_looked_at_again(tmp_path, people):
    items = [item for item in read_manifest(people) if not item.label]
    copies = []
    for item in items:
        copy = tmp_path / item.path.name
        copy.write_bytes(item.path.read_bytes())
        copies.append(replace(item, path=copy))
    detector = KnowingDetector()
    first = locate(copies, tmp_path, detector, 1024, 16, QUIET)
    assert first.skipped == {"without a face": 1} and detector.seen == 7
    copies[6].path.write_bytes(items[0].path.read_bytes())  # the black one shows a face now
    second = locate(copies, tmp_path, detector, 1024, 16, QUIET)
    assert second.skipped == {} and detector.seen == 8


def test_a_foreign_folder_is_left_alone(tmp_path, people):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="no family of stills"):
        swap_stills([people], tmp_path, CONFIG, KnowingDetector(), QUIET, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_one_person_alone_makes_no_swap(tmp_path, people):
    items = [item for item in read_manifest(people) if item.identity == "person0"]
    write_manifest(people.parent / "one.csv", items)
    with pytest.raises(UsageError, match="no fake could be made"):
        swap_stills([people.parent / "one.csv"], tmp_path / "own", CONFIG, KnowingDetector(), QUIET)


def test_fakes_alone_are_no_data(tmp_path, people):
    write_manifest(people.parent / "fakes.csv", [item for item in read_manifest(people) if item.label])
    with pytest.raises(ManifestError, match="no picture"):
        swap_stills([people.parent / "fakes.csv"], tmp_path / "own", CONFIG, KnowingDetector(), QUIET)


def test_mixed_data_sets_keep_their_sources_apart(tmp_path, portrait):
    a, b = (write_people(tmp_path / name, portrait, "scene") for name in "ab")
    renamed = [item.__class__(**{**item.__dict__, "dataset": "others"}) for item in read_manifest(b)]
    write_manifest(b, renamed)
    manifest = swap_stills([a, b], tmp_path / "own", SwapStillsConfig(), KnowingDetector(), QUIET)
    rows = read_manifest(manifest)
    assert {row.source for row in rows} == {f"{d}/video{k}" for d in ("people", "others") for k in range(6)}
    assert all(row.extra["donor"].split("/")[0] == row.source.split("/")[0] for row in rows if row.label)
    assert {row.view for row in rows} == {"scene"}
    skipped = json.loads((tmp_path / "own" / "landmarks.json").read_text())["found"]
    assert list(skipped.values()).count("without a face") == 2


def test_options_are_checked_on_the_command_line(tmp_path):
    base = ["generate", "stills", "swap", "--data", "x.csv", "--output", str(tmp_path / "o")]
    result = CliRunner().invoke(cli, [*base, "--quality-low", "90", "--quality-high", "50"])
    assert isinstance(result.exception, UsageError) and "--quality-low 90" in str(result.exception)
    assert "Examples:" in CliRunner().invoke(cli, ["generate", "stills", "swap", "--help"]).output
