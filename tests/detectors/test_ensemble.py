"""A detector that is the mean of several networks, and weights stored as whole numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_cnn import BACKBONE, CPU, random_network

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.detectors import cnn, texture
from forensics.detectors.cnn import CnnDetector
from forensics.detectors.cnn_network import (
    MIN_FAN_IN,
    SCALE,
    FaceCnn,
    FaceEnsemble,
    FaceNetwork,
    load_network,
    save_network,
)
from forensics.detectors.devices import to_tensor
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.model_set import DESCRIPTION, Domain, ModelSet, WeightFile, checked_file, load_model_set
from forensics.detectors.protocol import logit
from forensics.doctor import run_checks

N_MEMBERS = 3


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def members() -> list[FaceCnn]:
    return [undecided(random_network(seed)) for seed in range(N_MEMBERS)]


def undecided(network: FaceCnn) -> FaceCnn:
    """Its logits made so small that no score is 0 or 1."""
    with torch.no_grad():
        network.backbone.get_classifier().weight.mul_(0.03)
    return network


@pytest.fixture(scope="module")
def crops(portrait) -> list[np.ndarray]:
    return [portrait[20 + 9 * i :, 100 + 7 * i :][:side, :side] for i, side in enumerate((64, 65, 100, 150, 64, 224))]


def described(parts: dict[str, WeightFile], folder: Path) -> ModelSet:
    model_set = ModelSet(
        name="several", version="1", licence="x", trained_on="nothing", weights=parts, calibrations={},
        operating_points={}, domain=Domain(min_crop_px=1, min_sharpness=0),
    )  # fmt: skip
    (folder / DESCRIPTION).write_text(model_set.model_dump_json(), encoding="utf-8")
    return model_set


def test_the_logit_is_the_mean_of_the_members(members, crops):
    together = logit(CnnDetector(FaceEnsemble(members), CPU).score(crops))
    each = np.array([logit(CnnDetector(member, CPU).score(crops)) for member in members])
    assert np.ptp(each, 0).min() > 0.01, "the members differ, or this test shows nothing"
    np.testing.assert_allclose(together, each.mean(0), atol=1e-5)


def test_the_map_is_each_place_s_share_of_the_mean_logit(members, crops):
    """HiResCAM of the mean: shares of all members sum to the logit minus the mean bias, which is 0.3 in each."""
    ensemble = FaceEnsemble(members).eval().requires_grad_(False)
    detector = CnnDetector(ensemble, CPU)
    x = to_tensor(crops[0])[None]
    shares = (detector._shares(x) + detector._shares(x.flip(-1)).flip(-1)) / 2
    places = shares.shape[-2] * shares.shape[-1]
    with torch.no_grad():
        assert float(shares.sum()) == pytest.approx(float(detector.logits(x)) - 0.3, abs=1e-4)
    assert places > 1
    (heat,) = detector.explain(crops[:1])
    assert heat.max() == pytest.approx(1) or not (shares > 0).any()


def test_a_set_of_several_files_is_read_as_it_was_written(members, crops, tmp_path):
    part = cnn.save(members, tmp_path)
    assert [part.file, *part.more_files] == ["cnn.safetensors", "cnn-2.safetensors", "cnn-3.safetensors"]
    described({"cnn": part}, tmp_path)
    model_set, folder = load_model_set(tmp_path)
    assert model_set.hashes == part.hashes
    assert list(model_set.hashes) == [part.file, *part.more_files]
    assert model_set.weights["cnn"].settings == members[0].settings()
    found = cnn.load(model_set, folder, CPU).score(crops)
    np.testing.assert_allclose(found, CnnDetector(FaceEnsemble(members), CPU).score(crops), atol=2e-3)


def test_one_network_is_one_file(members, tmp_path):
    part = cnn.save(members[:1], tmp_path)
    assert (part.file, part.more_files) == ("cnn.safetensors", {})
    loaded = load_network(described({"cnn": part}, tmp_path), tmp_path, "cnn")
    assert isinstance(loaded, FaceCnn)


@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_a_member_that_is_not_what_is_pinned_is_refused(members, tmp_path, harm):
    model_set = described({"cnn": cnn.save(members, tmp_path)}, tmp_path)
    path = tmp_path / "cnn-3.safetensors"
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match=r"weights file cnn-3\.safetensors") as caught:
        cnn.load(model_set, tmp_path, CPU)
    assert caught.value.hint


def test_a_name_of_a_member_that_leaves_the_folder_is_refused(members, tmp_path):
    described({"cnn": cnn.save(members, tmp_path)}, tmp_path)
    path = tmp_path / DESCRIPTION
    path.write_text(path.read_text(encoding="utf-8").replace("cnn-2.safetensors", "../cnn-2"), encoding="utf-8")
    with pytest.raises(WeightsError, match="not a description"):
        load_model_set(tmp_path)


def test_a_file_that_is_listed_twice_is_no_description(members, tmp_path):
    """The second entry's hash would take the place of the first one's."""
    part = cnn.save(members[:1], tmp_path)
    fields = described({"cnn": part}, tmp_path).model_dump()
    fields["weights"]["cnn"]["more_files"] = {part.file: "0" * 64}
    (tmp_path / DESCRIPTION).write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(WeightsError, match="not a description"):
        load_model_set(tmp_path)


def test_a_detector_of_one_file_refuses_several(members, tmp_path):
    model_set = described({"cnn": cnn.save(members, tmp_path)}, tmp_path)
    with pytest.raises(WeightsError, match="is one file"):
        checked_file(model_set, tmp_path, "cnn")


def test_another_member_is_another_detector(members, tmp_path):
    """Scores are kept under a detector's fingerprint."""
    part = cnn.save(members, tmp_path)
    first = detector_fingerprint("cnn", described({"cnn": part}, tmp_path), tmp_path)
    (tmp_path / "cnn-2.safetensors").write_bytes((tmp_path / "cnn-3.safetensors").read_bytes())
    other = part.model_copy(update={"more_files": dict.fromkeys(part.more_files, part.more_files["cnn-3.safetensors"])})
    assert detector_fingerprint("cnn", described({"cnn": other}, tmp_path), tmp_path) != first


def test_doctor_checks_every_file(members, tmp_path):
    described({"cnn": cnn.save(members, tmp_path)}, tmp_path)
    found = {check.name: check for check in run_checks(tmp_path)}
    assert all(found[f"weights/{name}.safetensors"].is_ok for name in ("cnn", "cnn-2", "cnn-3"))
    (tmp_path / "cnn-3.safetensors").unlink()
    assert any("cnn-3.safetensors is missing" in check.value for check in run_checks(tmp_path) if not check.is_ok)


def test_the_gradient_is_the_mean_of_the_members(members, crops):
    x = to_tensor(crops[3])[None]

    def gradient(network: FaceNetwork) -> torch.Tensor:
        picture = x.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(CnnDetector(network, CPU).logits(picture).sum(), picture)
        return found

    expected = torch.stack([gradient(member) for member in members]).mean(0)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(gradient(FaceEnsemble(members)), expected, atol=1e-5, rtol=1e-4)


def test_the_side_of_an_ensemble_is_that_of_its_members():
    ensemble = FaceEnsemble([FaceCnn(BACKBONE, 64), FaceCnn(BACKBONE, 64)])
    assert ensemble.input_px == 64
    ensemble.input_px = 96
    assert ensemble.frame(torch.zeros(1, 3, 200, 200)).shape[-1] == 96


def test_an_ensemble_is_not_written_to_one_file(members, tmp_path):
    with pytest.raises(ValueError, match="a file of its own"):
        save_network(FaceEnsemble(members), tmp_path, "cnn")


def test_networks_that_are_not_alike_are_no_ensemble():
    with pytest.raises(ValueError, match="same settings"):
        FaceEnsemble([FaceCnn(BACKBONE, 64), FaceCnn(BACKBONE, 96)])


# --- int8 ---------------------------------------------------------------------------------------------------------


def test_whole_numbers_are_half_as_large_and_score_nearly_the_same(members, crops, tmp_path):
    scores, sizes = {}, {}
    for stored_as in ("float16", "int8"):
        folder = tmp_path / stored_as
        folder.mkdir()
        model_set = described({"cnn": cnn.save(members[:1], folder, stored_as)}, folder)
        scores[stored_as] = cnn.load(model_set, folder, CPU).score(crops)
        sizes[stored_as] = (folder / "cnn.safetensors").stat().st_size
    np.testing.assert_allclose(scores["int8"], scores["float16"], atol=0.05)
    assert not np.array_equal(scores["int8"], scores["float16"])
    assert sizes["int8"] < 0.75 * sizes["float16"]


def test_each_weight_is_off_by_half_a_step_of_its_channel_at_most(members, tmp_path):
    save_network(members[0], tmp_path, "cnn", "int8")
    expected = members[0].state_dict()
    n_whole = 0
    with safe_open(tmp_path / "cnn.safetensors", framework="pt") as file:
        for name in (name for name in file.keys() if not name.endswith(SCALE)):  # noqa: SIM118  # it has no __iter__
            value = file.get_tensor(name)
            if value.dtype != torch.int8:
                assert value.ndim <= 1 or value[0].numel() < MIN_FAN_IN
                continue
            n_whole += 1
            scale = file.get_tensor(name + SCALE).reshape(-1, *[1] * (value.ndim - 1))
            assert ((value * scale - expected[name]).abs() <= 0.5001 * scale).all()
            assert value.abs().flatten(1).amax(1).eq(127).all(), "each channel uses its whole range"
    assert n_whole > 5


def test_a_channel_of_zeros_stays_zero(tmp_path):
    network = random_network(5)
    head = network.backbone.get_classifier()
    torch.nn.init.zeros_(head.weight)
    model_set = described({"cnn": cnn.save([network], tmp_path, "int8")}, tmp_path)
    loaded = load_network(model_set, tmp_path, "cnn", folded=False)
    assert isinstance(loaded, FaceCnn)
    assert not loaded.backbone.get_classifier().weight.any()


@pytest.mark.parametrize("harm", ["missing", "of one number", "without weights"])
def test_scales_that_do_not_fit_are_a_typed_error(members, tmp_path, harm):
    part = cnn.save(members[:1], tmp_path, "int8")
    path = tmp_path / part.file
    stored = load_file(path)
    name = next(name for name in stored if name.endswith(SCALE))
    if harm == "missing":
        del stored[name]
    elif harm == "of one number":
        stored[name] = stored[name][:1].clone()
    else:
        stored[f"backbone.conv_stem.weight{SCALE}"] = torch.ones(1)
    save_file(stored, path)
    model_set = described({"cnn": part.model_copy(update={"sha256": sha256_of_file(path)})}, tmp_path)
    with pytest.raises(WeightsError, match="does not fit"):
        cnn.load(model_set, tmp_path, CPU)


def test_texture_can_be_stored_so_too(tmp_path):
    part = texture.save(random_network(2, framing="tile"), tmp_path, stored_as="int8")
    assert part.settings["sees"] == "surroundings"
    assert texture.load(described({"texture": part}, tmp_path), tmp_path, CPU).sees == "surroundings"
    with pytest.raises(ValueError, match="float16 or int8"):
        save_network(random_network(), tmp_path, "x", "int4")


def test_a_set_of_one_network_is_described_as_it_always_was(members, tmp_path):
    described({"cnn": cnn.save(members[:1], tmp_path)}, tmp_path)
    path = tmp_path / DESCRIPTION
    assert "more_files" not in json.loads(path.read_text(encoding="utf-8"))["weights"]["cnn"]
    model_set, folder = load_model_set(tmp_path)
    assert cnn.load(model_set, folder, CPU).score([]).shape == (0,)
