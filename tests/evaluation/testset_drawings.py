"""Drawn data for tests of test sets: pictures of noise, each unlike all others, and manifests of them."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from eval.testsets.build import Auditor, Built, build_testset
from eval.testsets.options import BuildOptions
from forensics.common.manifest import Item, read_manifest
from forensics.common.progress import Progress

COLUMNS = ("path", "label", "generator", "dataset", "source", "identity", "split", "view")


def draw(path: Path, mark: str = "", side: int = 32, quality: int = 90) -> Path:
    """Noise that depends on the mark and the file's name alone; the format is the name's."""
    digest = hashlib.sha256(f"{mark}/{path.name}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    picture = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, picture, flags)
    assert done
    path.write_bytes(data.tobytes())  # imwrite refuses some of the names that are tried
    return path


@dataclass
class Drawn:
    """A folder with pictures and their manifest; `add` draws one row."""

    folder: Path
    suffix: str = ".jpg"
    side: int = 32
    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, label: int, draws: bool = True, **columns: str) -> "Drawn":
        path = columns.pop("path", f"{name}{self.suffix}")
        if draws:
            draw(self.folder / path, self.folder.name, self.side)
        self.rows.append({"path": path, "label": str(label), "dataset": self.folder.name, **columns})
        return self

    def add_many(self, n: int, label: int, generator: str = "", split: str = "test") -> "Drawn":
        kind = generator or "real"
        for i in range(n):
            self.add(f"{kind}{i:03d}", label, generator=generator, source=f"{self.folder.name}-{kind}{i}", split=split)
        return self

    def write(self) -> str:
        names = list(dict.fromkeys([*COLUMNS, *(name for row in self.rows for name in row)]))
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        return str(self.folder)


def build(output: Path, real: Sequence[str], fake: Sequence[str], auditor: Auditor | None = None, **options) -> Built:
    """Build without a word on standard error."""
    chosen = BuildOptions(real=tuple(real), fake=tuple(fake), **({"quiet": True, "workers": 2} | options))
    return build_testset(chosen, output, Progress(quiet=True), auditor)


def items_of(output: Path) -> list[Item]:
    """Rows of a set's manifest."""
    return read_manifest(output / "manifest.csv")


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
