"""A small labelled folder and detectors whose scores are known."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

# The mean red level says what the picture is: a detector whose every score the test knows.
RED = """
import cv2

def predict(path):
    picture = cv2.imread(path)
    if picture is None:
        raise ValueError("not a picture")
    return float(picture[:, :, 2].mean()) / 255
"""


@pytest.fixture
def red_detector(tmp_path: Path) -> Path:
    """FILE.py whose score is the mean red level."""
    path = tmp_path / "red.py"
    path.write_text(RED, encoding="utf-8")
    return path


@pytest.fixture
def red_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a manifest of pictures, each of one red level: `red_folder([(name, label, level, generator), ...])`."""

    def make(rows: list[tuple[str, int, int, str]], name: str = "data", side: int = 32) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(0)
        lines = ["path,label,generator,dataset,source,split,view"]
        for file, label, level, generator in rows:
            picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            picture[:, :, 2] = level
            cv2.imwrite(str(folder / file), picture)
            lines.append(f"{file},{label},{generator},{name},{Path(file).stem},test,face")
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder / "manifest.csv"

    return make
