"""The script that crops pictures so that no face is left."""

import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from forensics.common.manifest import Item, read_manifest, write_manifest

SCRIPT = Path(__file__).parents[2] / "examples" / "without_faces.py"


def test_strips_are_copied_from_where_no_face_is(portrait, tmp_path, monkeypatch, capsys):
    from forensics.faces.mtcnn import MtcnnDetector
    from forensics.faces.still import detect_in_stills

    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(portrait).save(source / "astronaut.png")
    Image.fromarray(portrait[:80, :80]).save(source / "tiny.png")
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    rows = [
        Item(source / name, label, "g", "set", f"source{label}", split=split)
        for name, label, split in (
            ("astronaut.png", 1, "dev"), ("astronaut.png", 0, "test"), ("tiny.png", 0, "dev"),
            ("broken.png", 1, "dev"), ("astronaut.png", 0, "train"),
        )
    ]  # fmt: skip
    write_manifest(source / "manifest.csv", rows)
    options = ["--output", str(tmp_path / "out"), "--split", "dev", "--split", "test"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(source / "manifest.csv"), *options])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out
    assert said.startswith("kept: 2, ")
    assert "no strip without a face: 1" in said
    assert "unreadable: 1" in said
    found = read_manifest(tmp_path / "out" / "manifest.csv")
    assert [(item.label, item.split, item.view, item.dataset, item.source) for item in found] == [
        (1, "dev", "whole", "set_no_face", "source1"), (0, "test", "whole", "set_no_face", "source0"),
    ]  # fmt: skip
    for item in found:
        strip = np.asarray(Image.open(item.path))
        assert not detect_in_stills(MtcnnDetector(torch.device("cpu")), [strip])[0]
        starts = [strip, portrait[: strip.shape[0], : strip.shape[1]], portrait[-strip.shape[0] :, -strip.shape[1] :]]
        assert any(np.array_equal(starts[0], other) for other in starts[1:])
        assert max(strip.shape) == 512
