"""`forensics inspect` from file to files: records, maps, manifests, what is not run, hostile names, what verify and
diff say.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from skimage import data

from forensics.cli import cli
from forensics.common.errors import UsageError
from forensics.config import InspectConfig
from forensics.evidence_recording import as_stored, upright
from forensics.inspection import Inspector
from forensics.report.evidence import EvidenceRecord, evidence_schema_text
from forensics.report.manifest import SUFFIX
from forensics.verification import compare_reports, verify

PICTURE_ANALYSES = ("container", "jpeg-tables", "ela", "jpeg-grid")


def run(*arguments: object) -> int:
    """The command as a shell calls it: its exit status."""
    status = cli.main([str(argument) for argument in arguments], standalone_mode=False)
    return status if isinstance(status, int) else 0


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG with EXIF tags that name a camera and, in one, a script."""
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    picture = Image.fromarray(data.astronaut()[:256, :320])
    exif = picture.getexif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Maker", "Model", "<script>alert(1)</script>"
    picture.save(path, quality=88, exif=exif)
    return path


@pytest.fixture(scope="module")
def report(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of the photo, with its page, maps and manifest beside it."""
    folder = tmp_path_factory.mktemp("out")
    only = ",".join(PICTURE_ANALYSES)
    assert (
        run("inspect", photo, "--only", only, "--output", folder, "--case", "17/26 <b>", "--operator", "A", "--quiet")
        == 0
    )
    return next(
        path for path in folder.glob("*.json") if "manifest" not in path.name and path.name != "forensics-run.json"
    )


@pytest.fixture
def copied(report: Path, tmp_path: Path) -> Path:
    """The same in a folder that a test may spoil."""
    shutil.copytree(report.parent, tmp_path / "copy")
    return tmp_path / "copy" / report.name


def test_record_follows_its_schema_and_says_what_was_not_run(report: Path) -> None:
    document = json.loads(report.read_text(encoding="utf-8"))
    Draft202012Validator(json.loads(evidence_schema_text())).validate(document)
    record = EvidenceRecord.model_validate(document)
    assert [part.analysis for part in record.findings] == list(PICTURE_ANALYSES)
    why = {part.analysis: part.why for part in record.not_run}
    assert "not asked for" in why["copy-move"]
    assert record.case.case == "17/26 <b>"
    assert record.input.sha256 == record.input.sha256_after
    assert any("script" in value for value in record.tags.values())


def test_page_shows_tags_as_text_and_forbids_scripts(report: Path) -> None:
    page = report.with_suffix(".html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page
    assert "17/26 &lt;b&gt;" in page
    assert page.count("data:image/jpeg;base64,") >= 1


def test_maps_are_pictures_of_the_record(report: Path) -> None:
    record = EvidenceRecord.model_validate_json(report.read_text(encoding="utf-8"))
    maps = [one for part in record.findings for one in part.maps]
    assert maps
    for one in maps:
        picture = cv2.imread(str(report.parent / one.file))
        assert picture.shape == (one.height, one.width, 3)


def test_second_run_reuses_the_record_and_a_forced_one_says_the_same(photo: Path, copied: Path) -> None:
    before = copied.read_text(encoding="utf-8")
    options = ("--only", ",".join(PICTURE_ANALYSES), "--case", "17/26 <b>", "--operator", "A", "--quiet")
    assert run("inspect", photo, "--output", copied.parent, *options) == 0
    assert copied.read_text(encoding="utf-8") == before
    assert run("inspect", photo, "--output", copied.parent, "--force", *options) == 0
    first, second = (json.loads(text) for text in (before, copied.read_text(encoding="utf-8")))
    for record in (first, second):
        del record["clock"], record["command"]
    assert first == second


def test_verify_accepts_what_was_written(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", report) == 0
    out = capsys.readouterr().out
    assert "all that could be checked is unchanged" in out
    assert out.count("unchanged  ") >= 4  # record, page, maps, input


@pytest.mark.parametrize("suffix", [".json", ".html", ".png"])
def test_verify_finds_a_changed_file(copied: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = copied if suffix == ".json" else sorted(copied.parent.glob(f"*{suffix}"))[0]
    text = target.read_bytes()
    target.write_bytes(text.replace(b"consistent", b"inconsistent", 1) if suffix == ".json" else text + b" ")
    assert run("verify", copied) == 1
    out = capsys.readouterr().out
    assert f"CHANGED      {target.name}" in out
    assert "NOT as it was written" in out


def test_verify_finds_a_missing_map_and_a_changed_input(copied: Path, photo: Path, tmp_path: Path) -> None:
    sorted(copied.parent.glob("*.png"))[0].unlink()
    moved = tmp_path / "moved.jpg"
    moved.write_bytes(photo.read_bytes() + b"\0")
    found = verify(copied, moved, None)
    details = {line.name: line.detail for line in found.lines if line.is_unchanged is False}
    assert len(details) == 2
    assert "missing" in details.values()


def test_a_manifest_that_was_changed_with_its_files_is_found_out_by_its_own_hash(copied: Path) -> None:
    noted = verify(copied, None, None).manifest_sha256
    assert verify(copied, None, noted.upper()).is_unchanged
    manifest = copied.with_name(copied.stem + SUFFIX)
    document = json.loads(manifest.read_text(encoding="utf-8"))
    page = copied.with_suffix(".html")
    page.write_text("nothing", encoding="utf-8")
    import hashlib

    document["files"][page.name] = hashlib.sha256(b"nothing").hexdigest()
    manifest.write_text(json.dumps(document), encoding="utf-8")
    assert verify(copied, None, None).is_unchanged
    assert not verify(copied, None, noted).is_unchanged


@pytest.mark.parametrize("name", ["../other.png", "/etc/passwd", "a/b.png", ""])
def test_manifest_names_never_leave_the_folder(copied: Path, name: str) -> None:
    manifest = copied.with_name(copied.stem + SUFFIX)
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["files"][name] = "0" * 64
    manifest.write_text(json.dumps(document), encoding="utf-8")
    line = next(line for line in verify(copied, None, None).lines if line.name == name)
    assert line.is_unchanged is False
    assert "not a name" in line.detail


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "manifest"}', "\udcff"])
def test_what_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / f"x{SUFFIX}"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="not a file of a report"):
        verify(path, None, None)
    with pytest.raises(UsageError, match="is not there"):
        verify(tmp_path / "none.json", None, None)


def test_diff_names_what_differs_and_nothing_else(
    copied: Path, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", "diff", report, copied) == 0
    assert "the same findings" in capsys.readouterr().out
    document = json.loads(copied.read_text(encoding="utf-8"))
    document["findings"][0]["state"] = "inconclusive"
    document["clock"]["wall_s"] = 99.0
    del document["findings"][1]
    copied.write_text(json.dumps(document), encoding="utf-8")
    assert {difference.what for difference in compare_reports(report, copied)} == set(PICTURE_ANALYSES[:2])
    assert run("report", "diff", report, copied) == 1


def test_one_bad_file_costs_only_itself(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff" + bytes(range(200)))
    status = run("inspect", bad, photo, tmp_path / "none.jpg", "--only", "container,ela", "--format", "json", "--quiet")
    assert status == 3
    lines = capsys.readouterr().out.splitlines()
    records = [EvidenceRecord.model_validate_json(line) for line in lines]
    assert [record.outcome for record in records] == ["unreadable", "inspected", "unreadable"]
    assert records[0].message
    assert run("inspect", bad, "--only", "ela", "--quiet") == 4


def test_names_that_do_not_exist_are_refused_with_a_hint(photo: Path) -> None:
    with pytest.raises(UsageError, match="no analysis 'nonsense'"):
        run("inspect", photo, "--only", "nonsense")
    with pytest.raises(UsageError, match="leave no analysis"):
        run("inspect", photo, "--only", "ela", "--skip", "ela")
    with pytest.raises(UsageError, match="folder"):
        run("inspect", photo, "--format", "html")


def test_fail_on_decides_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edited.png"
    info = Image.fromarray(data.coffee()[:128, :128])
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("parameters", "a portrait, Steps: 20, Sampler: Euler a, Model: x")
    info.save(path, pnginfo=text)
    assert run("inspect", path, "--only", "container", "--quiet") == 0
    assert run("inspect", path, "--only", "container", "--fail-on", "suspicious", "--quiet") == 1
    assert "container" in capsys.readouterr().out


def test_list_names_every_analysis_and_how_reliable_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "list") == 0
    out = capsys.readouterr().out
    for name in ("container", "jpeg-ghosts", "copy-move", "pulse"):
        assert name in out


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    with Inspector(InspectConfig(threads=1, max_frames=40)) as one:
        yield one


def test_a_clip_gets_the_analyses_of_clips(inspector: Inspector, examples: Path) -> None:
    record = inspector.inspect(examples / "real.mp4").record
    run_names = {part.analysis for part in record.findings}
    assert {"frames", "flicker", "jitter", "pulse", "gop", "container"} <= run_names
    assert {part.analysis: part.why for part in record.not_run}["ela"] == "it looks at a still picture"
    assert record.media is not None
    assert record.media.frames_analysed <= 40


def test_a_clip_without_its_frames_is_not_decoded_for_them(examples: Path) -> None:
    with Inspector(InspectConfig(only=("container", "gop"), threads=1)) as one:
        record = one.inspect(examples / "real.mp4").record
    assert record.media is not None
    assert record.media.frames_analysed == 1
    assert [part.analysis for part in record.findings] == ["container", "gop"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_and_upright_are_each_others_inverse_and_as_pillow_has_them(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    stored = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(upright(stored, orientation), expected)
    assert np.array_equal(as_stored(expected, orientation), stored)
