"""`forensics generate list`, and the group's help."""

import json

import pytest
import torch
from click.testing import CliRunner

from forensics.cli import cli
from forensics.common.errors import WeightsError
from generators.catalogue import SHOWN_CLASSES, describe_shipped, describe_systems
from generators.checkpoint import write_checkpoint
from generators.cli import COMMANDS
from generators.system import SYSTEMS, configured, system_named
from generators.translator import TRANSLATORS


def run(*arguments):
    return CliRunner().invoke(cli, ["generate", *arguments])


@pytest.fixture(scope="module")
def cards():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    found = {card.name: card for card in describe_systems()}
    assert torch.equal(torch.rand(3), expected)  # nothing was drawn: no network was made in earnest
    return found


def test_every_system_is_there_with_its_presets(cards):
    assert list(cards) == list(SYSTEMS)
    for name, card in cards.items():
        system = system_named(name)
        assert [size.preset for size in card.presets] == list(system.presets)
        assert card.reference == system.reference
        for size in card.presets:
            assert min(size.generator, size.discriminator) > 0
            assert (size.classes == 0) == (system.condition != "class")


def test_weights_of_the_published_dcgan(cards):
    """64 px, f = 64, z = 100: the sums over the layers of Radford 2015, figure 1, with 4x4 kernels."""
    size = next(size for size in cards["dcgan"].presets if size.preset == "gpu")
    wide = [(100, 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    norms = sum(2 * out for _, out in wide[:-1])
    assert size.generator == sum(16 * a * b for a, b in wide) + norms == 3_576_704
    assert size.discriminator == 2_765_568


def test_counts_are_those_of_real_networks(cards):
    for name in ("gan", "cgan"):
        system = system_named(name)
        classes = SHOWN_CLASSES if system.condition == "class" else 0
        config = configured(system, "cpu", {"classes": classes})
        size = next(size for size in cards[name].presets if size.preset == "cpu")
        assert size.generator == sum(p.numel() for p in system.generator(config).parameters())
        assert size.discriminator == sum(p.numel() for p in system.discriminator(config).parameters())


def test_shipped_generators_say_what_they_are(tmp_path):
    assert describe_shipped(tmp_path) == []
    system = system_named("dcgan")
    config = configured(system, "cpu", {"image_px": 16, "width": 4})
    weights = {f"average.{k}": v.half() for k, v in system.generator(config).state_dict().items()}
    meta = {"system": "dcgan", "config": config.model_dump(mode="json"), "step": 900, "data": {"pictures": 77}}
    write_checkpoint(tmp_path / "b.safetensors", weights, {**meta, "best": {"kid": 0.03, "extractor": "lite0"}})
    write_checkpoint(tmp_path / "a.safetensors", weights, {**meta, "best": None, "data": None})
    a, b = describe_shipped(tmp_path)
    assert (a.name, a.kid, a.extractor, a.data) == ("a", None, "", "")
    assert (b.name, b.system, b.image_px, b.step, b.kid, b.extractor) == ("b", "dcgan", 16, 900, 0.03, "lite0")
    assert b.bytes == (tmp_path / "b.safetensors").stat().st_size
    assert b.data == "77 pictures"
    (tmp_path / "c.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"c\.safetensors"):
        describe_shipped(tmp_path)


def test_the_list_fits_a_terminal_and_names_all():
    result = run("list")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 100
    for name in (*SYSTEMS, *TRANSLATORS):
        assert name in result.stdout
    assert "3,576,704" in result.stdout
    assert "arXiv 1511.06434" in result.stdout


def test_programs_get_json(cards):
    result = run("list", "--format", "json")
    known = json.loads(result.stdout)
    assert [card["name"] for card in known["systems"]] == list(SYSTEMS)
    assert known["systems"][1]["presets"][0]["generator"] == cards["dcgan"].presets[0].generator
    assert isinstance(known["shipped"], list)
    by_name = {card["name"]: card["presets"] for card in known["translators"]}
    assert list(by_name) == list(TRANSLATORS)
    assert by_name["restore"][0]["discriminator"] == 0  # its preset has no adversary
    assert by_name["pix2pix"][-1]["generator"] == 54_413_955


def test_the_group_knows_its_commands():
    result = run("--help")
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert line.split(":")[0][:30] in result.stdout
    assert "generate" in CliRunner().invoke(cli, ["--help"]).stdout


@pytest.mark.parametrize("name", ["list", "sample", "interpolate", "train-translator", "translate"])
def test_help_teaches(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"forensics generate {name}" in result.stdout
