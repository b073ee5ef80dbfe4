"""`forensics bench audit`, from the command line to audit.json and audit.md."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from eval.audit import shortcuts
from eval.audit.markdown import _examples_section
from eval.audit.schema import AuditReport, Example, ItemRef, LeakageFinding
from eval.report.markdown import markdown_text
from forensics.cli import cli
from forensics.common.errors import UsageError
from forensics.common.manifest import Item, write_manifest


def bench_audit(*arguments: object) -> Result:
    words = ["bench", "audit", *(str(argument) for argument in arguments)]
    return CliRunner(catch_exceptions=False).invoke(cli, words, standalone_mode=False)


def written(folder: Path, n: int, leak: bool = False, quality: tuple[int, int] = (90, 90), **columns: str) -> Path:
    """A manifest of n drawn pictures in train and test."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for k in range(n):
        coarse = np.random.default_rng([n, 0 if leak and k == n - 1 else k]).integers(0, 256, (6, 6, 3), np.uint8)
        pixels = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{k}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality[k % 2]])
        items.append(
            Item(folder / f"{k}.jpg", k % 2, source=f"s{k}", split="train" if k < n // 2 else "test", **columns)
        )
    write_manifest(folder / "manifest.csv", items)
    return folder / "manifest.csv"


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(shortcuts, "TREES", 5)


def test_a_clean_set(tmp_path):
    manifest = written(tmp_path / "faces", 12)
    result = bench_audit(manifest, "-o", tmp_path / "out", "--fail-on", "any")
    assert result.return_value == 0
    report = AuditReport.model_validate_json((tmp_path / "out" / "audit.json").read_text())
    assert (report.verdict.kind, report.unreadable.n) == ("clean", 0)
    assert "shortcuts were not tested (6 real files, at least 30 are needed)" in report.verdict.sentence
    (data,) = report.data
    assert (data.name, data.layout, data.n_real, data.n_fake) == ("faces", "manifest", 6, 6)
    assert data.by_split == {"train": (3, 3), "test": (3, 3)}
    assert report.verdict.sentence in result.stdout
    assert "reading files" in result.stderr
    assert "\x1b" not in result.stdout
    assert str(tmp_path) not in report.to_json()


def test_fail_on(tmp_path):
    manifest = written(tmp_path / "faces", 12, leak=True)
    for word, status in (("never", 0), ("shortcut", 0), ("leakage", 1), ("any", 1)):
        result = bench_audit(manifest, "--quiet", "--fail-on", word)
        assert result.return_value == status
    assert result.stderr == ""
    assert "verdict: leakage (same file in two splits: 1; same file labelled real and fake: 1): " in result.stdout


def test_shortcuts_fail_too_and_two_runs_write_the_same_bytes(tmp_path, few_trees):
    manifest = written(tmp_path / "faces", 80, quality=(95, 60), generator="x|y", dataset="<b>")
    statuses = [
        bench_audit(
            manifest, "-o", tmp_path / f"out{k}", "--workers", k + 1, "--fail-on", "shortcut", "-q"
        ).return_value
        for k in range(2)
    ]
    assert statuses == [1, 1]
    for name in ("audit.json", "audit.md"):
        first, second = ((tmp_path / f"out{k}" / name).read_bytes() for k in range(2))
        assert first == second
    report = json.loads((tmp_path / "out0" / "audit.json").read_text())
    assert report["verdict"]["kind"] == "shortcuts"
    assert report["verdict"]["sentence"].startswith("strong shortcuts (<b>: ")
    assert "the JPEG encoder's settings" in report["verdict"]["sentence"]
    page = (tmp_path / "out0" / "audit.md").read_text()
    assert "| strong | quality: 95 in reals, 60 in fakes |" in page
    assert "<b>" not in page.replace("\\<b\\>", "")
    again = bench_audit(manifest, "-o", tmp_path / "out0", "-q", "--seed", 1)
    assert again.return_value == 0  # a folder of ours is updated


def test_file_names_of_an_audit_are_text():
    name = "_x_ https://a.b @team &lt;b&gt; [l](m)"
    example = Example(
        what=name, items=[ItemRef(path=name, label=1, split=name, data_set="")], n_items=1, correlation=None
    )
    finding = LeakageFinding(
        check="sources", title="sources", is_leakage=True, outcome="found", reason="", n=1, n_items=1, between={},
        examples=[example],
    )  # fmt: skip
    line = _examples_section(finding).splitlines()[-1]
    assert line == f"- {markdown_text(name)}: {markdown_text(name)} (fake, {markdown_text(name)})"


def test_several_data_sets_and_all_of_them_together(tmp_path, few_trees):
    one, other = written(tmp_path / "a", 64, dataset="a"), written(tmp_path / "b", 66, dataset="b")
    report = AuditReport.model_validate_json(audit_json(tmp_path, one, other))
    assert [block.subject for block in report.shortcuts] == ["a", "b", "all data sets together"]
    assert report.shortcuts[2].groups[0].n_fake == 65
    assert all(finding.outcome != "found" for finding in report.leakage)
    alone = AuditReport.model_validate_json(audit_json(tmp_path, other))
    assert alone.shortcuts[0] == report.shortcuts[1]  # what is audited beside it changes nothing
    with pytest.raises(UsageError, match="given twice"):
        bench_audit(one, tmp_path / "b" / ".." / "a" / "manifest.csv")


def audit_json(tmp_path: Path, *data: Path) -> str:
    bench_audit(*data, "-o", tmp_path / "out", "-q", "--overwrite")
    return (tmp_path / "out" / "audit.json").read_text()


def test_unreadable_files_are_counted(tmp_path):
    manifest = written(tmp_path / "faces", 12)
    (tmp_path / "faces" / "0.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    (tmp_path / "faces" / "5.jpg").write_bytes(b"")
    result = bench_audit(manifest, "-o", tmp_path / "out", "--fail-on", "any")
    assert result.return_value == 0
    assert "2 files could not be read, the first: faces/0.jpg:" in result.stdout
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert [file["path"] for file in report["unreadable"]["files"]] == ["faces/0.jpg", "faces/5.jpg"]
    assert "## Unreadable files: 2" in (tmp_path / "out" / "audit.md").read_text()
    for k in range(12):
        (tmp_path / "faces" / f"{k}.jpg").write_text("gone")
    assert bench_audit(manifest).return_value == 4


def test_splits_limits_and_foreign_files(tmp_path):
    manifest = written(tmp_path / "faces", 12, leak=True)
    report = json.loads(audit_json(tmp_path, manifest))
    assert report["verdict"]["kind"] == "leakage"
    assert bench_audit(manifest, "--split", "test", "--fail-on", "leakage", "-q").return_value == 0
    limited = bench_audit(manifest, "--limit", 4, "-o", tmp_path / "few", "-q")
    assert limited.return_value == 0
    assert json.loads((tmp_path / "few" / "audit.json").read_text())["data"][0]["n"] == 4
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "audit.md").write_text("my notes")
    with pytest.raises(UsageError, match="not written by this tool"):
        bench_audit(manifest, "-o", tmp_path / "mine")
    assert (tmp_path / "mine" / "audit.md").read_text() == "my notes"
    with pytest.raises(UsageError, match="'draws'"):
        bench_audit(manifest, "--draws", 5)


def test_help_teaches():
    shown = bench_audit("--help").stdout
    for word in ("forensics bench audit faces/manifest.csv", "Leakage:", "Shortcuts:", "Exit status:", "--fail-on"):
        assert word in shown


def test_the_development_data_are_what_they_are_known_for(data_folder, tmp_path, few_trees):
    """Known of them: text_to_image gives itself away by its colours, photoshop by nothing."""
    bench_audit(data_folder / "photoshop", data_folder / "text_to_image", "-o", tmp_path / "out", "-q", "--draws", 100)
    report = AuditReport.model_validate_json((tmp_path / "out" / "audit.json").read_text())
    strengths = {(b.subject, g.group): g.strength for b in report.shortcuts for g in b.groups}
    assert strengths["text_to_image", "colour"] == "strong"
    assert strengths["photoshop", "colour"] == "none found"
    assert not any(finding.outcome == "found" for finding in report.leakage if finding.is_leakage)
