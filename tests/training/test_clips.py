"""`forensics calibrate-clips` on the example clips: a set of weights that scans as it says, and no scan done twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from forensics.cli.calibrate_clips import command
from forensics.common.aggregation import Aggregation
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors.bank import DetectorBank
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.model_set import DEFAULT_FOLDER, load_model_set
from forensics.scan import Scanner
from forensics.training.clips import CACHE_FOLDER, FIGURES_FILE, calibrate_clips, scan_clips

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def calibrated(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A manifest, the folder that the command wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("clips")
    manifest = folder / "manifest.csv"
    rows = [f"{examples / name}.mp4,{label},examples,{name},one,dev" for name, label in (("real", 0), ("fake", 1))]
    manifest.write_text("\n".join(["path,label,dataset,source,identity,split", *rows]) + "\n")
    ran = CliRunner().invoke(
        command, ["--data", str(manifest), "--output", str(folder / "out"), "--threads", "1", "-q"],
        catch_exceptions=False,
    )  # fmt: skip
    assert ran.exit_code == 0
    return manifest, folder / "out", ran.output


def test_two_clips_choose_nothing(calibrated: tuple[Path, Path, str]) -> None:
    _, output, printed = calibrated
    model_set, _ = load_model_set(output)
    shipped, _ = load_model_set()
    found = model_set.aggregations["default"]
    assert (found.method, found.real_track_sd) == ("mean", None)
    assert "2 clips; independent groups of persons: 1 with real clips, 1 with fakes; too few to choose" in found.source
    assert model_set.model_copy(update={"aggregations": {}}) == shipped.model_copy(update={"aggregations": {}})
    for part in model_set.weights.values():
        for file in part.hashes:
            assert (output / file).read_bytes() == (DEFAULT_FOLDER / file).read_bytes()
    assert "chosen: mean" in printed
    # The row of what was written, and no other, is marked.
    marked = [line for line in printed.splitlines() if "(chosen)" in line]
    assert [line.split(" (chosen)")[0] for line in marked] == ["mean"]
    assert "nan" not in printed
    figures = json.loads((output / FIGURES_FILE).read_text())
    assert len(figures["candidates"]) == 5
    assert figures["outcomes"] == {"scored": 2}


def test_again_scans_nothing_and_writes_the_same(
    calibrated: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, output, printed = calibrated
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}

    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("scanned again")

    monkeypatch.setattr(Scanner, "scan", refuse)
    arguments = ["--data", str(manifest), "--output", str(output), "--threads", "1", "-q"]
    assert CliRunner().invoke(command, arguments, catch_exceptions=False).output == printed
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    # The set of weights that it wrote may be its own input: what it chose before changes no sample's logit.
    assert CliRunner().invoke(command, [*arguments, "--weights", str(output)], catch_exceptions=False).output == printed
    assert (output / "model.json").read_bytes() == before["model.json"]
    assert len(list((output / CACHE_FOLDER).iterdir())) == 2


def test_a_damaged_cache_is_scanned_again(
    calibrated: tuple[Path, Path, str], examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, output, _ = calibrated
    for path in (output / CACHE_FOLDER).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:100])

    class ScannedError(Exception):
        pass

    def refuse(*_args: object, **_more: object) -> None:
        raise ScannedError

    monkeypatch.setattr(Scanner, "scan", refuse)
    config = ScanConfig(device="cpu", threads=1, stability=False)
    with pytest.raises(ScannedError):
        scan_clips([Item(examples / "real.mp4", 0)], config, tmp_path, QUIET)


def test_wrong_input_is_refused(examples: Path, tmp_path: Path) -> None:
    items = [Item(examples / "real.mp4", 0, split="dev")]
    for split in ("train", "test"):  # no choice is made on these
        with pytest.raises(ManifestError, match="no rows of split dev"):
            calibrate_clips([replace(item, split=split) for item in items], None, tmp_path / "a", QUIET)
    refused = CliRunner().invoke(command, ["--data", "m.csv", "--output", str(tmp_path), "--split", "test"])
    assert refused.exit_code == 2
    assert "No such option" in refused.output
    with pytest.raises(UsageError, match="no threshold of 'meso4'"):
        calibrate_clips(items, None, tmp_path / "a", QUIET, opinion="meso4")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UsageError, match="not written by this tool"):
        calibrate_clips(items, None, tmp_path, QUIET)


def test_an_unreadable_clip_is_counted_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0" * 100)
    cache = tmp_path / "cache"
    found = scan_clips([Item(path, 0)], ScanConfig(device="cpu", threads=1, stability=False), cache, QUIET)
    assert [(clip.outcome, clip.tracks) for clip in found] == [(str(Outcome.UNREADABLE), ())]
    assert not cache.exists()


def test_a_scan_aggregates_as_the_weights_say(calibrated: tuple[Path, Path, str], examples: Path) -> None:
    _, output, _ = calibrated
    model_set, folder = load_model_set(output)
    chosen = Aggregation(method="top_quarter", real_track_sd=2.0)
    changed = model_set.model_copy(update={"aggregations": {"default": chosen}})
    path = folder / "model.json"
    before = path.read_bytes()
    try:
        path.write_text(changed.model_dump_json())
        with Scanner(ScanConfig(weights=folder, device="cpu", threads=1, stability=False)) as scanner:
            result = scanner.scan(examples / "fake.mp4", explain=False)
            assert scanner.bank.aggregations(is_clip=False) == {"default": chosen.of_pictures()}
            whole = DetectorBank([], changed, folder, scanner.device, whole=True)
            assert whole.aggregations(is_clip=True) == {}
    finally:
        path.write_bytes(before)
    log = result.logs[0]
    expected = chosen.of_samples(log.logits["default"])
    assert result.top_logits["default"] == pytest.approx(expected)
    verdict = result.record.verdict
    assert verdict is not None
    assert verdict.lowered_by is None
    assert verdict.likelihood_ratio == pytest.approx(min(2.718281828459045**expected, 1e4), rel=1e-4)
    # What a score depends on is in the fingerprint; sets without an aggregation keep theirs.
    plain = changed.model_copy(update={"aggregations": {}})
    assert detector_fingerprint("default", changed, folder) != detector_fingerprint("default", plain, folder)
