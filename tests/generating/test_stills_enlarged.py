"""Samples enlarged beside reals of the same resolution."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from stills_people import tree, write_people

from forensics.common.errors import UsageError
from forensics.common.manifest import read_manifest
from forensics.common.progress import Progress
from generators.checkpoint import load_generator, write_checkpoint
from generators.drawing import draw_pictures
from generators.stills.config import EnlargedConfig
from generators.stills.enlarged import drawn_interpolation, enlarged, write_enlarged
from generators.stills.folder import jpeg
from generators.system import configured, system_named

QUIET = Progress(quiet=True)
CONFIG = EnlargedConfig(count=6, size_px=64)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two untrained generators whose pictures differ, of 16 and 32 px."""
    return [_model(tmp_path_factory.mktemp("models") / f"{px}.safetensors", px) for px in (16, 32)]


def _model(path, px, view="face"):
    system = system_named("dcgan")
    config = configured(system, "cpu", {"image_px": px, "width": 4, "latent": 8})
    torch.manual_seed(px)
    weights = system.generator(config).state_dict()
    loud = {f"average.{key}": 8 * value if value.dim() == 4 else value for key, value in weights.items()}
    meta = {"system": "dcgan", "config": config.model_dump(mode="json"), "step": 7, "class_names": [], "view": view}
    write_checkpoint(path, loud, meta)
    return load_generator(path, torch.device("cpu"))


@pytest.fixture(scope="module")
def people(tmp_path_factory, portrait):
    return write_people(tmp_path_factory.mktemp("people"), portrait)


@pytest.fixture(scope="module")
def made(tmp_path_factory, people, models):
    folder = tmp_path_factory.mktemp("made") / "own"
    write_enlarged(models, [people], folder, CONFIG, QUIET)
    return folder


def test_a_sample_for_each_real_in_its_split(made, models):
    rows = read_manifest(made / "manifest.csv")
    reals, fakes = ({row.path.name: row for row in rows if row.label == label} for label in (0, 1))
    assert reals.keys() == fakes.keys() and len(reals) == 6
    for name, fake in fakes.items():
        real = reals[name]
        assert fake.split == real.split and fake.extra["interpolation"] == real.extra["interpolation"]
        assert fake.extra["native_px"] == real.extra["native_px"] == ("32" if int(name[:6]) % 2 else "16")
        assert fake.identity == "" and real.identity.startswith("person") and fake.dataset == "own_gans"
        assert Image.open(fake.path).quantization == Image.open(real.path).quantization
        assert Image.open(fake.path).size == Image.open(real.path).size == (64, 64)
    assert len({row.source for row in fakes.values()}) == 6
    assert {row.extra["checkpoint"] for row in fakes.values()} == {loaded.sha256 for loaded in models}


def test_what_is_written_is_the_sample_enlarged(made, models):
    sample = next(draw_pictures(models[1], 2, 0))[1]  # the second pair of the second generator: the fourth of all
    row = next(row for row in read_manifest(made / "manifest.csv") if row.label and row.path.stem == "000003")
    expected = jpeg(enlarged(sample, 64, row.extra["interpolation"]), int(row.extra["jpeg_quality"]), is_fake=True)
    assert row.path.read_bytes() == expected


def test_reals_have_no_more_detail_than_samples(made):
    """What a reduction to 16 or 32 px cannot hold is not in a real either, but for what JPEG adds."""
    for row in read_manifest(made / "manifest.csv"):
        if not row.label and row.extra["interpolation"] != "nearest":
            grey = cv2.imread(str(row.path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
            px = int(row.extra["native_px"])
            small = cv2.resize(grey, (px, px), interpolation=cv2.INTER_AREA)
            again = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
            assert np.abs(grey - again).mean() <= 0.25 * grey.std()


def test_same_seed_same_bytes_and_a_stopped_command_goes_on(tmp_path, people, models, made):
    folder = tmp_path / "own"
    write_enlarged(models, [people], folder, CONFIG, QUIET)
    assert tree(folder) == tree(made)
    for name in ("manifest.csv", "fake/000001.jpg", "real/000004.jpg"):
        (folder / name).unlink()
    write_enlarged(models, [people], folder, CONFIG, QUIET)
    assert tree(folder) == tree(made)
    (folder / "fake/000000.jpg").write_bytes(b"kept")
    write_enlarged(models, [people], folder, CONFIG, QUIET)
    assert (folder / "fake/000000.jpg").read_bytes() == b"kept"
    with pytest.raises(UsageError, match="another recipe: models"):
        write_enlarged(models[:1], [people], folder, CONFIG, QUIET)


def test_fewer_reals_than_asked_for(tmp_path, people, models):
    manifest = write_enlarged(
        models[:1], [people], tmp_path / "own", CONFIG.model_copy(update={"count": 50, "split": "dev"}), QUIET
    )
    assert len(read_manifest(manifest)) == 4


def test_faces_and_scenes_do_not_mix(tmp_path, people, models):
    scene = _model(tmp_path / "scene.safetensors", 16, "scene")
    with pytest.raises(UsageError, match="two views"):
        write_enlarged([models[0], scene], [people], tmp_path / "own", CONFIG, QUIET)


def test_a_model_given_twice_is_refused(tmp_path, people, models):
    with pytest.raises(UsageError, match="given twice"):
        write_enlarged([models[0], models[1], models[0]], [people], tmp_path / "own", CONFIG, QUIET)
    assert not (tmp_path / "own").exists()


def test_files_are_never_bound_to_rows_in_another_order(tmp_path, portrait, models):
    a, b = (write_people(tmp_path / name, portrait) for name in "ab")
    write_enlarged(models, [a, b], tmp_path / "own", CONFIG, QUIET).unlink()  # as if it had been stopped
    with pytest.raises(UsageError, match="in another order"):
        write_enlarged(models, [b, a], tmp_path / "own", CONFIG, QUIET)


def test_interpolations_are_drawn_by_their_shares():
    drawn = [drawn_interpolation(5, k) for k in range(1000)]
    assert 0.05 < np.mean([name == "nearest" for name in drawn]) < 0.15
    assert 0.3 < np.mean([name == "cubic" for name in drawn]) < 0.4
    flat = np.full((16, 16, 3), 77, np.uint8)
    assert all((enlarged(flat, 50, name) == 77).all() for name in set(drawn))
