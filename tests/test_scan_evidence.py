"""`forensics scan --evidence`: the findings stand in record and page, with their maps and a manifest; the verdict stays as
it is; one bad file costs only itself.
"""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from skimage import data

from forensics.analysis.catalogue import analyses
from forensics.cli import cli
from forensics.report.findings import map_files
from forensics.report.manifest import SUFFIX
from forensics.report.record import Record, schema_text
from forensics.verification import verify


def run(*arguments: object) -> int:
    """The command as a shell calls it: its exit status."""
    status = cli.main([str(argument) for argument in arguments], standalone_mode=False)
    return status if isinstance(status, int) else 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of a person, edited by its tags, and a file that is none, scanned together."""
    here = tmp_path_factory.mktemp("scan")
    picture = Image.fromarray(data.astronaut())
    exif = picture.getexif()
    exif[0x0131] = "Adobe Photoshop CS2 <script>"
    picture.save(here / "photo.jpg", quality=90, exif=exif)
    (here / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    assert run("scan", here / "photo.jpg", here / "broken.jpg", "--evidence", "--output", here / "out", "--quiet") == 3
    return here


def record_of(folder: Path, name: str) -> tuple[Path, Record]:
    path = next(p for p in (folder / "out").glob(f"{name}-*.json") if not p.name.endswith(SUFFIX))
    return path, Record.model_validate_json(path.read_text(encoding="utf-8"))


def test_record_follows_its_schema_and_accounts_for_every_analysis(folder: Path) -> None:
    path, record = record_of(folder, "photo.jpg")
    Draft202012Validator(json.loads(schema_text())).validate(json.loads(path.read_text(encoding="utf-8")))
    assert record.evidence is not None
    named = [part.analysis for part in record.evidence.findings] + [part.analysis for part in record.evidence.not_run]
    assert sorted(named) == sorted(analysis.name for analysis in analyses())
    states = {part.analysis: part.state for part in record.evidence.findings}
    assert states["container"] == "suspicious"
    assert record.evidence.corroboration.families_flagged[0] == "file"
    assert record.clock.stages_s["evidence"] > 0
    assert record.verdict is not None and record.verdict.operating_point is not None


def test_page_shows_findings_and_tags_as_text(folder: Path) -> None:
    path, record = record_of(folder, "photo.jpg")
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert record.evidence is not None
    for part in record.evidence.findings:
        assert part.title in page
    assert 'id="container"' in page and "<script" not in page and "Adobe Photoshop CS2" in page
    assert page.count('<svg class="plot"') == sum(len(part.plots) for part in record.evidence.findings)
    assert page.count("<img src") >= len(map_files(record.evidence.findings)) > 0
    assert "picture not available" not in page


def test_manifest_holds_every_file_and_verify_finds_a_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, record = record_of(folder, "photo.jpg")
    assert record.evidence is not None
    found = verify(path, None, None)
    assert found.is_unchanged
    names = {line.name for line in found.lines}
    assert {path.name, path.with_suffix(".html").name, *map_files(record.evidence.findings)} <= names
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace('"suspicious"', '"consistent"'), encoding="utf-8")
        assert run("verify", path) == 1
        assert "CHANGED" in capsys.readouterr().out
    finally:
        path.write_text(text, encoding="utf-8")


def test_what_cannot_be_read_gets_an_error_line_and_no_findings(folder: Path) -> None:
    _, record = record_of(folder, "broken.jpg")
    assert record.outcome == "unreadable" and record.evidence is not None and record.evidence.message
    by_file = [analysis.name for analysis in analyses() if analysis.needs == "file"]
    assert [part.analysis for part in record.evidence.findings] == by_file
    others = {part.why for part in record.evidence.not_run}
    assert others == {record.evidence.message}


def test_verdict_is_that_of_a_scan_without(folder: Path, tmp_path: Path) -> None:
    _, record = record_of(folder, "photo.jpg")
    assert run("scan", folder / "photo.jpg", "--output", tmp_path, "--quiet", "--format", "json") == 0
    plain = next(p for p in tmp_path.glob("photo.jpg-*.json"))
    without = Record.model_validate_json(plain.read_text(encoding="utf-8"))
    assert without.evidence is None and not list(tmp_path.glob(f"*{SUFFIX}"))
    assert without.verdict == record.verdict and without.tracks == record.tracks


def test_second_run_reuses_and_a_missing_map_is_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, record = record_of(folder, "photo.jpg")
    assert record.evidence is not None
    again = ("scan", folder / "photo.jpg", "--evidence", "--output", folder / "out")
    assert run(*again) == 0
    shown = capsys.readouterr()
    assert "reused" in shown.out and "container suspicious" in shown.out and "manifest SHA-256" in shown.out
    lost, changed = (path.with_name(name) for name in map_files(record.evidence.findings)[:2])
    whole = changed.read_bytes()
    lost.unlink()
    changed.write_bytes(b"another")
    assert run(*again) == 0
    assert lost.is_file() and changed.read_bytes() == whole and not list((folder / "out").glob("*-2.json"))


def test_a_scan_without_leaves_nothing_of_one_with(folder: Path, tmp_path: Path) -> None:
    scan = ("scan", folder / "photo.jpg", "--output", tmp_path, "--quiet")
    for extra in ((), ("--evidence", "--format", "json"), ("--evidence",), ()):
        assert run(*scan, *extra) == 0
        record = next(p for p in tmp_path.glob("photo.jpg-*.json") if not p.name.endswith(SUFFIX))
        manifest = record.with_name(record.stem + SUFFIX)
        assert manifest.exists() == ("--evidence" in extra)
        assert bool(list(tmp_path.glob("*.png"))) == ("--evidence" in extra)
        if extra:
            assert verify(record, None, None).is_unchanged
        if "json" not in extra:
            page = record.with_suffix(".html").read_text(encoding="utf-8")
            assert ("What else the file says" in page) == ("--evidence" in extra)


def test_an_analysis_that_fails_costs_itself_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_subject: object) -> None:
        raise ZeroDivisionError("a  fault")

    ela = next(analysis for analysis in analyses() if analysis.name == "ela")
    monkeypatch.setitem(ela.__dict__, "examine", broken)
    assert run("scan", folder / "photo.jpg", "--evidence", "--format", "json", "--quiet") == 0
    record = Record.model_validate_json(capsys.readouterr().out)
    assert record.verdict is not None and record.evidence is not None
    why = next(part.why for part in record.evidence.not_run if part.analysis == "ela")
    assert why == "it failed: ZeroDivisionError: a fault"
    assert len(record.evidence.findings) > 5


def test_a_clip_gets_findings_of_clips_beside_its_verdict(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("scan", examples / "real.mp4", "--evidence", "--format", "json", "--quiet") == 0
    record = Record.model_validate_json(capsys.readouterr().out)
    assert record.evidence is not None and record.evidence.frames_analysed
    states = {part.analysis: part.state for part in record.evidence.findings}
    assert {"gop", "frames", "flicker", "pulse"} <= set(states)
    assert {part.analysis for part in record.evidence.not_run} >= {"ela", "copy-move"}
