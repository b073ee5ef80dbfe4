"""`forensics export`: files that score as torch does, explain themselves, and replace nobody else's."""

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from forensics.cli.export import command
from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.detectors import cnn, texture
from forensics.detectors.cnn_network import FaceCnn
from forensics.detectors.devices import to_tensor
from forensics.detectors.engines import export, onnx_model
from forensics.detectors.engines.choice import missing_packages
from forensics.detectors.engines.export import ExportDescription, export_detector, exportable
from forensics.detectors.model_set import Calibration, Domain, ModelSet, WeightFile, load_model_set
from forensics.detectors.protocol import sigmoid
from forensics.faces.canonical import reduce_surroundings

pytestmark = [
    pytest.mark.skipif(bool(missing_packages("onnx")), reason="onnx or onnxruntime is not installed"),
    pytest.mark.usefixtures("one_thread"),
]
BACKBONE = "test_efficientnet"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A set of two detectors of small networks, one of them the mean of two, and a detector that is none."""
    folder = tmp_path_factory.mktemp("weights")
    parts = {}
    for framing in ("whole", "tile"):
        networks = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            network = FaceCnn(BACKBONE, 64, framing).eval()
            nn.init.normal_(network.backbone.get_classifier().weight, std=0.5)
            networks.append(network)
        part = cnn.save(networks, folder) if framing == "whole" else texture.save(networks[0], folder)
        parts[part.file.split(".")[0]] = part
    (folder / "spectrum.safetensors").write_bytes(b"")
    parts["spectrum"] = WeightFile(file="spectrum.safetensors", sha256="0" * 64)
    model_set = ModelSet(
        name="small",
        version="7",
        licence="to look at only",
        trained_on="nothing",
        weights=parts,
        calibrations={
            "cnn": Calibration(coefficients={"cnn": 0.5}, intercept=-0.25),
            "default": Calibration(coefficients={"cnn": 0.4, "texture": 0.3}, intercept=0.1),
        },
        operating_points={},
        domain=Domain(min_crop_px=1, min_sharpness=0),
    )
    (folder / "model.json").write_text(model_set.model_dump_json(), encoding="utf-8")
    return folder


def run(*arguments):
    return CliRunner().invoke(command, [*map(str, arguments), "-q"], standalone_mode=False)


@pytest.fixture(scope="module")
def exported(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    result = run("--weights", weights, "--output", folder)
    assert result.exception is None, result.exception
    lines = result.output.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(folder / f"{name}.onnx") for name in ("cnn", "texture")]
    assert all("scores within" in line for line in lines)
    return folder


def logits_of(file, framed):
    import onnxruntime

    (found,) = onnxruntime.InferenceSession(file).run(None, {"framed": framed.numpy()})
    return found


def test_a_file_scores_a_picture_by_its_description(weights, exported, portrait):
    """By the file and its JSON alone: as a stranger would."""
    crop = np.ascontiguousarray(portrait[30:150, 150:270])
    said = json.loads((exported / "cnn.json").read_text(encoding="utf-8"))
    side = said["input"]["side_px"]
    framed = nn.functional.interpolate(
        to_tensor(crop)[None], (side, side), mode="bilinear", antialias=True, align_corners=False
    )
    detector = cnn.load(*load_model_set(weights), CPU)
    np.testing.assert_allclose(sigmoid(logits_of(exported / said["file"], framed)), detector.score([crop]), atol=1e-5)
    assert said["output"]["averages_mirror"] is True
    assert said["output"]["probability"].startswith("sigmoid(-0.25 + 0.5 * logit)")
    assert said["output"]["fusions"]["default"]["coefficients"] == {"cnn": 0.4, "texture": 0.3}


@pytest.mark.parametrize("side", [33, 50, 64])
def test_tiles_keep_their_size_and_batches_theirs(weights, exported, portrait, side):
    tiles = [np.ascontiguousarray(portrait[20 * i : 20 * i + side, 150 : 150 + side]) for i in range(3)]
    framed = torch.stack([to_tensor(tile) for tile in tiles])
    detector = texture.load(*load_model_set(weights), CPU)
    np.testing.assert_allclose(sigmoid(logits_of(exported / "texture.onnx", framed)), detector.score(tiles), atol=1e-5)


def test_the_file_itself_says_where_it_comes_from(weights, exported):
    import onnx

    said = ExportDescription.model_validate_json((exported / "texture.json").read_text(encoding="utf-8"))
    model = onnx.load(exported / "texture.onnx")
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found["weights_sha256"] == said.weights_sha256 == load_model_set(weights)[0].weights["texture"].sha256
    assert found["licence"] == said.licence == "to look at only"
    assert found["calibration"] == "none"
    assert said.input.framing == "tile"
    assert "surroundings" in said.input.square or "enlarged" in said.input.square
    assert [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        3,
        "height",
        "width",
    ]


def test_of_several_networks_all_files_are_named(weights, exported):
    import onnx

    said = ExportDescription.model_validate_json((exported / "cnn.json").read_text(encoding="utf-8"))
    part = load_model_set(weights)[0].weights["cnn"]
    assert said.weights_sha256 == part.sha256
    assert (
        said.weights_more_files
        == part.more_files
        == {"cnn-2.safetensors": sha256_of_file(weights / "cnn-2.safetensors")}
    )
    found = {entry.key: entry.value for entry in onnx.load(exported / "cnn.onnx").metadata_props}
    assert (found["weights_sha256"], json.loads(found["weights_more_files"])) == (part.sha256, part.more_files)


def test_a_re_run_writes_the_same_bytes(weights, exported):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    assert set(before) == {"cnn.onnx", "cnn.json", "texture.onnx", "texture.json", "forensics-run.json"}
    assert run("--weights", weights, "--output", exported).exception is None
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before


def test_a_foreign_file_is_not_replaced_unless_asked_to(weights, tmp_path):
    foreign = tmp_path / "cnn.json"
    foreign.write_text("mine", encoding="utf-8")
    result = run("--weights", weights, "--detector", "cnn", "--output", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert foreign.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "cnn.onnx").exists()
    assert run("--weights", weights, "--detector", "cnn", "--output", tmp_path, "--overwrite").exception is None
    assert json.loads(foreign.read_text(encoding="utf-8"))["detector"] == "cnn"


@pytest.mark.parametrize("name", ["default", "spectrum", "nobody"])
def test_what_is_no_network_is_refused(weights, tmp_path, name):
    result = run("--weights", weights, "--detector", name, "--output", tmp_path / "new")
    assert isinstance(result.exception, UsageError | export.WeightsError)
    assert result.exception.hint
    assert exportable(load_model_set(weights)[0]) == ["cnn", "texture"]


def test_a_large_picture_is_scored_by_the_steps_of_the_description(weights, exported, portrait):
    square = np.ascontiguousarray(portrait[:400, :400])
    said = json.loads((exported / "texture.json").read_text(encoding="utf-8"))["input"]
    assert "above 256: reduce" in said["steps"][1] and "INTER_AREA" in said["steps"][1]
    assert said["steps"][2] == "divide by 255"
    assert not any("above 256" in step for step in said["steps"][2:])
    reduced = cv2.resize(square, (256, 256), interpolation=cv2.INTER_AREA)
    first = (256 - said["side_px"]) // 2
    tile = np.ascontiguousarray(reduced[first : first + said["side_px"], first : first + said["side_px"]])
    detector = texture.load(*load_model_set(weights), CPU)
    scores = detector.score([reduce_surroundings(square)])  # what a scan gives it
    np.testing.assert_allclose(sigmoid(logits_of(exported / "texture.onnx", to_tensor(tile)[None])), scores, atol=1e-5)
    # The face crop is not reduced by a scan, but in the network's framing.
    plain = export._tile_steps(64, "face")
    assert plain[1] == "divide by 255" and "bilinear" in plain[2]


def test_a_network_that_fails_its_check_leaves_no_file(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    result = run("--weights", weights, "--detector", "cnn", "--output", tmp_path)
    assert isinstance(result.exception, export.WeightsError)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_scores_otherwise_is_an_error(weights):
    model_set, folder = load_model_set(weights)
    other = export_detector("cnn", model_set, folder)
    with torch.no_grad():
        other.detector.network.members[0].backbone.get_classifier().bias.add_(1.0)
    with pytest.raises(export.WeightsError, match="away from torch's"):
        export.largest_difference(other)


def test_without_the_package_the_hint_says_what_to_install(weights, monkeypatch):
    monkeypatch.setattr(onnx_model, "missing_packages", lambda _name: ["onnx"])
    with pytest.raises(UsageError, match="needs the package onnx") as caught:
        export_detector("cnn", *load_model_set(weights))
    assert "deepfake-forensics[onnx]" in caught.value.hint
