"""What a scan and an inspection make of damaged files: cut off, bits turned over, whole ranges written over.

    python tests/bench/bench_mutations.py [--cuts 20] [--flips 20] [--ranges 20] [--clip FILE] [--with scan] [--seed 0]

For each format a small file of scikit-image's astronaut (of --clip, its own bytes too) is damaged so many times, and each
copy goes through one `Inspector` (or `Scanner`). Counted: copies of which pixels were read, copies of which findings came
all the same, typed errors, and what must not happen: an exception, an error without a hint, more than 25 seconds, an
analysis that failed. Memory is the largest proportional set size of this process and its children after a file, with the
libraries included.
"""

import argparse
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from bench_process import tree_mb
from PIL import Image
from skimage import data

from forensics.config import InspectConfig, ScanConfig
from forensics.inspection import Inspector
from forensics.scan import Scanner

PICTURES = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
CLIPS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "ts": "libx264"}
LIMIT_S = 25.0
MAX_BITS = 40
Counts = Counter[str]


def seeds(clip: Path | None) -> dict[str, bytes]:
    """A small file of each format, by its suffix."""
    portrait = data.astronaut()[:256, 96:352]
    found = {}
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture" * 10
    for name in PICTURES:
        buffer = io.BytesIO()
        with_tags = {"exif": exif} if name in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        Image.fromarray(portrait).save(buffer, name, **with_tags)
        found[name.lower()] = buffer.getvalue()
    for suffix, codec in CLIPS.items():
        buffer = io.BytesIO()
        names = {"ts": "mpegts", "mkv": "matroska"}
        with av.open(buffer, "w", format=names.get(suffix, suffix)) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width = stream.height = 256
            stream.pix_fmt = "yuv420p"
            for number in range(30):
                frame = av.VideoFrame.from_ndarray(np.roll(portrait, number, 1), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        found[suffix] = buffer.getvalue()
    if clip:
        found[f"given.{clip.suffix.lstrip('.')}"] = clip.read_bytes()
    return found


def damaged(whole: bytes, rng: np.random.Generator, cuts: int, flips: int, ranges: int) -> Iterator[bytes]:
    """Copies that end early, that have bits turned over (half of them near the start), that have ranges of noise."""
    for _ in range(cuts):
        yield whole[: int(rng.integers(0, len(whole)))]
    for number in range(flips):
        copy = bytearray(whole)
        reach = len(whole) if number % 2 else min(len(whole), 600)
        for _ in range(int(rng.integers(1, MAX_BITS))):
            copy[int(rng.integers(0, reach))] ^= 1 << int(rng.integers(0, 8))
        yield bytes(copy)
    for _ in range(ranges):
        copy = bytearray(whole)
        start = int(rng.integers(0, len(whole)))
        length = int(rng.integers(1, max(2, len(whole) // 8)))
        noise = rng.bytes(length)[: len(whole) - start]
        copy[start : start + len(noise)] = noise
        yield bytes(copy)


def inspected(inspector: Inspector, path: Path) -> list[str]:
    """What came of one file: words to count."""
    record = inspector.inspect(path).record
    failed = [part.why for part in record.not_run if part.why.startswith("it failed")]
    words = ["an analysis failed"] * bool(failed)
    for why in failed:
        print(f"  {path.name}: {why}")
    words += [record.outcome]
    words += ["NO HINT"] * bool(record.message and not record.hint)
    words += ["findings in spite of an error"] * bool(record.outcome != "inspected" and record.findings)
    return words


def scanned(scanner: Scanner, path: Path) -> list[str]:
    """The same of a scan."""
    return [str(scanner.scan(path).record.outcome)]


def tally(name: str, copies: list[bytes], look: Callable[[Path], list[str]], folder: Path, failures: list[str]) -> str:
    """The line of one format."""
    counts: Counts = Counter()
    longest, memory = 0.0, 0.0
    path = folder / f"copy.{name.rsplit('.', 1)[-1]}"
    for copy in copies:
        path.write_bytes(copy)
        started = time.monotonic()
        try:
            counts.update(look(path))
        except Exception as error:  # noqa: BLE001  (what this is looking for)
            counts["EXCEPTION"] += 1
            print(f"  {name}: {type(error).__name__}: {error}")
        took = time.monotonic() - started
        counts["TOO LONG"] += took > LIMIT_S
        longest, memory = max(longest, took), max(memory, tree_mb())
    said = ", ".join(f"{word} {count}" for word, count in sorted(counts.items()) if count)
    if counts["EXCEPTION"] or counts["TOO LONG"] or counts["NO HINT"] or counts["an analysis failed"]:
        failures.append(name)
    return f"| {name} | {len(copies)} | {said} | {longest:.1f} | {memory:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in ("cuts", "flips", "ranges"):
        parser.add_argument(f"--{kind}", type=int, default=20)
    parser.add_argument("--clip", type=Path, help="a file of your own to damage too")
    parser.add_argument("--only", action="append", default=[], help="this format alone; may be repeated")
    parser.add_argument("--with", dest="command", choices=("inspect", "scan"), default="inspect")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| file | copies | what came of them | longest, s | memory, MiB |\n|---|---|---|---|---|")
    opened = Inspector(InspectConfig()) if options.command == "inspect" else Scanner(ScanConfig())
    failures: list[str] = []
    with opened as looker, tempfile.TemporaryDirectory() as folder:
        for name, whole in seeds(options.clip).items():
            if options.only and name not in options.only:
                continue
            copies = list(
                damaged(whole, np.random.default_rng(options.seed), options.cuts, options.flips, options.ranges)
            )
            look = inspected if isinstance(looker, Inspector) else scanned
            print(tally(name, copies, lambda path, look=look: look(looker, path), Path(folder), failures), flush=True)
    if failures:
        raise SystemExit(f"what must not happen did: {', '.join(failures)}")


if __name__ == "__main__":
    main()
