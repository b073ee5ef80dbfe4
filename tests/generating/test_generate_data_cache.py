"""The cache of decoded pictures: reused, resumed, never believed, the same pixels with and without it."""

import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from forensics.common.errors import ManifestError, UsageError
from forensics.common.progress import Progress
from generators.data import survey
from generators.data.pictures import DataRequest, DecodedPixels, KeptPixels, Pictures, load_pictures

PX, N, CHUNK = 12, 23, 4


class Said(Progress):
    """Progress that keeps its lines."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Decoder:
    """Counts the files that are decoded; fails after some chunks if it is told to."""

    def __init__(self) -> None:
        self.files, self.chunks_left, self._decode = 0, -1, survey.cut_all

    def __call__(self, items, *rest):
        if self.chunks_left == 0:
            raise KeyboardInterrupt
        self.chunks_left -= 1
        self.files += len(items)
        return self._decode(items, *rest)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Decoder:
    counting = Decoder()
    monkeypatch.setattr(survey, "cut_all", counting)
    monkeypatch.setattr(survey, "CHUNK", CHUNK)
    return counting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of noise in several sizes, two of them damaged."""
    rng = np.random.default_rng(3)
    (tmp_path / "in").mkdir()
    for i in range(N):
        noise = rng.integers(0, 256, (10 + i, 40 - i, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"in/{i:02d}.png"), noise)
    for damaged in (6, 17):
        (tmp_path / f"in/{damaged:02d}.png").write_bytes(b"no picture")
    return tmp_path / "in"


def load(folder: Path, said: Said | None = None, cache: str = "cache", px: int = PX, cache_gb: float = 8) -> Pictures:
    request = DataRequest(data=(folder,), cache_gb=cache_gb)
    return load_pictures(request, px, folder.parent / cache, said or Said(), workers=2)


def pixels(pictures: Pictures) -> np.ndarray:
    return pictures.batch(np.arange(len(pictures)))


def interrupted(folder: Path, decoder: Decoder, chunks: int) -> Path:
    """Decode some chunks, then be stopped. Returns the half-written file's path without its suffix."""
    decoder.chunks_left = chunks
    with pytest.raises(KeyboardInterrupt):
        load(folder)
    decoder.chunks_left, decoder.files = -1, 0
    (part,) = (folder.parent / "cache").glob("*.part")
    assert not list((folder.parent / "cache").glob("*.json"))
    return part.with_suffix("")


def test_a_second_run_decodes_nothing(folder: Path, decoder: Decoder) -> None:
    first = load(folder)
    assert decoder.files == N and len(first) == N - 2 and isinstance(first.source, KeptPixels)
    said = Said()
    again = load(folder, said)
    assert decoder.files == N and np.array_equal(pixels(first), pixels(again))
    assert again.sha256 == first.sha256 and again.missed == first.missed == {"unreadable": 2}
    assert any("21 decoded ones found" in line for line in said.lines)
    assert any("06.png" in line for line in said.lines)  # what is missing is said again
    assert sorted(path.suffix for path in (folder.parent / "cache").iterdir()) == [".bin", ".json", ".lock"]


def test_other_files_sizes_and_dates_are_decoded_anew(folder: Path, decoder: Decoder) -> None:
    before = load(folder)
    load(folder, px=PX + 1)
    assert decoder.files == 2 * N
    cv2.imwrite(str(folder / "06.png"), np.full((20, 20, 3), 7, np.uint8))
    after = load(folder)
    assert decoder.files == 3 * N and len(after) == N - 1 and after.sha256 != before.sha256
    assert (pixels(after)[6] == 7).all()


def test_without_room_the_pixels_are_the_same(folder: Path, decoder: Decoder) -> None:
    said = Said()
    flown, kept = load(folder, said, cache_gb=0), load(folder, cache="other")
    assert isinstance(flown.source, DecodedPixels) and isinstance(kept.source, KeptPixels)
    assert np.array_equal(pixels(flown), pixels(kept)) and flown.sha256 == kept.sha256
    assert sum("decoded in every step" in line for line in said.lines) == 1
    indices = np.array([5, 0, 5, 20])
    assert np.array_equal(flown.batch(indices), kept.batch(indices))
    assert flown.batch(np.array([], np.int64)).shape == (0, PX, PX, 3)
    assert not list((folder.parent / "cache").glob("*.bin"))
    files = decoder.files
    load(folder, cache_gb=0)
    assert decoder.files == files  # what was found out about the files is kept
    assert isinstance(load(folder).source, KeptPixels)  # there is room now


def test_a_full_disk_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)._replace(free=survey.SPARE_BYTES + 100)
    monkeypatch.setattr(survey.shutil, "disk_usage", lambda _path: usage)
    said = Said()
    assert isinstance(load(folder, said).source, DecodedPixels)
    assert any("GB that are free" in line for line in said.lines)


def test_a_file_that_changes_while_it_is_in_use_is_an_error(folder: Path) -> None:
    flown = load(folder, cache_gb=0)
    cv2.imwrite(str(folder / "00.png"), np.zeros((30, 50, 3), np.uint8))
    with pytest.raises(ManifestError, match="has changed"):
        flown.batch(np.array([0]))
    (folder / "00.png").unlink()
    with pytest.raises(ManifestError, match="could be read before"):
        flown.batch(np.array([0]))
    assert flown.batch(np.array([1])).shape == (1, PX, PX, 3)


@pytest.mark.parametrize("chunks", [0, 1, 3, 5])
def test_what_was_stopped_goes_on(folder: Path, decoder: Decoder, chunks: int) -> None:
    interrupted(folder, decoder, chunks)
    said = Said()
    resumed = load(folder, said)
    assert decoder.files == N - chunks * CHUNK
    assert any(f"{chunks * CHUNK} of {N} were read before" in line for line in said.lines) == bool(chunks)
    assert np.array_equal(pixels(resumed), pixels(load(folder, cache="other")))


def test_half_written_pixels_are_not_believed(folder: Path, decoder: Decoder) -> None:
    stem = interrupted(folder, decoder, 3)
    part = stem.with_suffix(".part")
    data = bytearray(part.read_bytes())
    data[4 * PX * PX * 3] ^= 1  # one bit in the second chunk
    part.write_bytes(data)
    resumed = load(folder)
    assert decoder.files == N - CHUNK
    assert np.array_equal(pixels(resumed), pixels(load(folder, cache="other")))


@pytest.mark.parametrize("damage", ["torn line", "text", "cut pixels", "more pixels", "no pixels", "repeated line"])
def test_a_damaged_journal_is_not_believed(folder: Path, decoder: Decoder, damage: str) -> None:
    stem = interrupted(folder, decoder, 3)
    journal, part = stem.with_suffix(".journal"), stem.with_suffix(".part")
    lines = journal.read_bytes().splitlines(keepends=True)
    if damage == "torn line":
        journal.write_bytes(b"".join(lines)[:-20])
    elif damage == "text":
        journal.write_bytes(lines[0] + b'{"done": "many"}\n' + lines[2])
    elif damage == "cut pixels":
        part.write_bytes(part.read_bytes()[:-1])
    elif damage == "more pixels":
        part.write_bytes(part.read_bytes() + b"x" * 1000)
    elif damage == "no pixels":
        part.unlink()
    else:
        journal.write_bytes(b"".join([*lines, lines[-1]]))
    resumed = load(folder)
    left = {"torn line": 2, "text": 1, "cut pixels": 2, "more pixels": 3, "no pixels": 0, "repeated line": 3}[damage]
    assert decoder.files == N - left * CHUNK
    assert np.array_equal(pixels(resumed), pixels(load(folder, cache="other")))


@pytest.mark.parametrize("damage", ["no bin", "short bin", "index of another", "torn index", "odd index"])
def test_a_cache_that_is_not_whole_is_remade(folder: Path, decoder: Decoder, damage: str) -> None:
    expected = pixels(load(folder)).copy()
    (index,) = (folder.parent / "cache").glob("*.json")
    (kept,) = (folder.parent / "cache").glob("*.bin")
    text = index.read_text()
    if damage == "no bin":
        kept.unlink()
    elif damage == "short bin":
        kept.write_bytes(kept.read_bytes()[:-1])
    elif damage == "index of another":
        index.write_text(json.dumps({**json.loads(text), "key": "0" * 64}))
    elif damage == "torn index":
        index.write_text(text[: len(text) // 2])
    else:
        index.write_text("[1, 2]")
    assert np.array_equal(pixels(load(folder)), expected)
    assert decoder.files == 2 * N


def test_of_several_callers_one_decodes(folder: Path, decoder: Decoder) -> None:
    barrier, results = threading.Barrier(4), []

    def call() -> None:
        barrier.wait()
        results.append(pixels(load(folder)))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decoder.files == N and len(results) == 4
    assert all(np.array_equal(result, results[0]) for result in results)


def test_who_waits_says_so(folder: Path) -> None:
    load(folder, cache_gb=0)  # leaves the lock's file
    (lock,) = (folder.parent / "cache").glob("*.lock")
    said, is_waiting = Said(), threading.Event()
    said.say = lambda line: is_waiting.set() if "waiting" in line else None  # type: ignore[method-assign]
    results = []
    with survey.locked(lock, lambda: None):
        thread = threading.Thread(target=lambda: results.append(load(folder, said)))
        thread.start()
        assert is_waiting.wait(20) and not results
    thread.join(20)
    assert len(results) == 1


def test_a_cache_that_cannot_be_written_is_a_usage_error(folder: Path) -> None:
    (folder.parent / "cache").write_text("a file")
    with pytest.raises(UsageError, match="cannot be kept"):
        load(folder)


def test_the_fingerprint_is_of_names_and_pixels_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    here = load(folder)
    moved = shutil.copytree(folder, tmp_path / "elsewhere/renamed")
    there = load(moved)
    assert here.sha256 == there.sha256
    (moved / "00.png").rename(moved / "99.png")  # the same pictures in another order
    assert load(moved).sha256 != here.sha256
    assert load(folder, px=PX + 2).sha256 != here.sha256
