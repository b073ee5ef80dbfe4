"""Container and metadata: what names software or contradicts itself is found, ordinary files are left alone."""

import math
from dataclasses import replace

import numpy as np
import pytest

from forensics.analysis.container import ANALYSIS, CONTRADICTION, EXTENSIONS, examine
from forensics.analysis.protocol import File
from forensics.media.facts_types import Box, FileFacts, JpegFacts, PacketFacts

PLAIN = FileFacts("jpeg", 9000, 1, {}, (), None, None, 0, ())
CAMERA = {"exif.Make": "Maker", "exif.Model": "M1", "exif.DateTimeOriginal": "2020:01:02 03:04:05"}
GENERATORS = [
    "Stable Diffusion XL",
    "Midjourney v6",
    "DALL-E 3",
    "DeepFaceLab",
    "FaceFusion 2.6",
    "roop 1.0",
    "faceswap",
]
PHONES = ["HDR+ 1.0.4", "16.3.1", "N986BXXU4HWC1", "Ver.1.01 ", "Digital Camera X100", "LMC8.4"]


def examine_file(name: str = "picture.jpg", **facts: object):
    finding = examine(File(replace(PLAIN, **facts), name))
    assert all(not isinstance(v, float) or math.isfinite(v) for v in finding.measures.values())
    assert finding.statistic is not None
    assert finding.observation.endswith(".")
    return finding


def movie(
    media_s: float, edited_s: float, packets_s: float, created: str = "", modified: str = ""
) -> dict[str, object]:
    """Boxes of one video track and packets at 25 a second."""
    times = {name: text for name, text in (("creation_time", created), ("modification_time", modified)) if text}
    boxes = (
        Box("moov", 100, 900, {}),
        Box("moov/mvhd", 108, 108, {"timescale": "1000", **times}),
        Box("moov/trak", 300, 600, {}),
        Box("moov/trak/tkhd", 308, 92, {"duration": str(round(1000 * edited_s))}),
        Box("moov/trak/mdia/mdhd", 420, 32, {"duration_s": f"{media_s:.3f}"}),
        Box("moov/trak/mdia/hdlr", 460, 40, {"handler_type": "vide"}),
    )
    n = max(2, round(25 * packets_s))
    packets = PacketFacts(tuple(k / 25 for k in range(n)), (100,) * n, (True,) + (False,) * (n - 1), False)
    return {"container": "mov", "boxes": boxes, "packets": packets}


def make_positive(seed: int) -> File:
    """A file with one trace of those that no ordinary handling leaves: a generator's name, a wrong time or duration."""
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind == 0:
        tags = {**CAMERA, "exif.Software": GENERATORS[int(rng.integers(len(GENERATORS)))]}
        return File(replace(PLAIN, tags=tags), "picture.jpg")
    if kind == 1:
        settings = f"Steps: {rng.integers(10, 60)}, Sampler: Euler a"
        return File(replace(PLAIN, container="png", tags={"generation.settings": settings}), "picture.png")
    if kind == 2:
        seconds = float(rng.uniform(5, 60))
        return File(replace(PLAIN, **movie(seconds, seconds, seconds / 2 - 1)), "clip.mp4")
    day = int(rng.integers(10, 28))
    facts = movie(4, 4, 4, f"2021-05-{day}T00:00:00Z", f"2021-05-{day - 5:02}T00:00:00Z")
    return File(replace(PLAIN, **facts), "clip.mov")


def make_ordinary(seed: int) -> File:
    """A picture or clip as cameras, phones and services leave them."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        seconds = float(rng.uniform(1, 60))
        facts = movie(
            seconds, seconds * float(rng.uniform(0.3, 1.0)), seconds, "2021-05-05T10:00:00Z", "2021-05-05T10:01:00Z"
        )
        return File(
            replace(PLAIN, **facts, tags={"container.encoder": "Lavf60.3.100"} if seed % 4 == 1 else {}), "clip.mp4"
        )
    tags = {**CAMERA, "exif.Software": PHONES[int(rng.integers(len(PHONES)))], "exif.DateTime": "2020:01:02 03:04:05"}
    return File(replace(PLAIN, tags=tags if seed % 4 else {}), "picture.jpg")


def test_inconsistent_for_most_positives_and_no_ordinary_file():
    assert sum(examine(make_positive(seed)).state == "inconsistent" for seed in range(20)) >= 16
    assert not any(examine(make_ordinary(seed)).state == "inconsistent" for seed in range(40))


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("exif.Software", "Adobe Photoshop 25.0 (Windows)", "suspicious"),
        ("exif.Software", "GIMP 2.10.34", "suspicious"),
        ("container.encoder", "Lavf61.7.100", "consistent"),
        ("video.signature", "x264 - core 164", "consistent"),
        ("video.handler_name", "ISO Media file produced by Google Inc.", "consistent"),
        ("xmp.CreatorTool", "Adobe Firefly", "inconsistent"),
        ("exif.Software", "Sora", "inconsistent"),
        ("png.Description", "a street, by Midjourney", "inconsistent"),
        ("png.parameters", "a cat", "inconsistent"),
        ("png.prompt", '{"3": {"class_type": "KSampler"}}', "inconsistent"),
        ("xmp.DigitalSourceType", "http://cv.iptc.org/x/compositeWithTrainedAlgorithmicMedia", "inconsistent"),
        ("container.title", "A runway at dawn, by Sora Ito", "consistent"),
        ("exif.ImageDescription", "Edited with care in Photoshop", "consistent"),
        ("exif.Model", "roop", "consistent"),
        ("exif.Software", "troops", "consistent"),
        ("png.prompt", "say cheese", "consistent"),
    ],
)
def test_names_of_software(name, value, state):
    assert examine_file(tags={name: value}).state == state


def test_hostile_texts_are_quoted_in_part_only():
    finding = examine_file(tags={"exif.Software": "Photoshop " + "<script>" * 20})
    assert finding.observation.count("<script>") < 10


@pytest.mark.parametrize(
    ("media", "edited", "packets", "state"),
    [
        (10, 10, 10, "consistent"),
        (10, 4, 4, "consistent"),  # trimmed by an edit list
        (10, 10.8, 10, "consistent"),
        (10, 10, 4, "inconsistent"),
        (4, 4, 10, "inconsistent"),
    ],
)
def test_durations(media, edited, packets, state):
    facts = movie(media, edited, packets)
    assert examine_file("clip.mp4", **facts).state == state
    cut_off = examine_file("clip.mp4", **facts, problems=("the file is cut off",))
    assert cut_off.state == "consistent"
    fragmented = facts | {"boxes": (*facts["boxes"], Box("moof", 2000, 80, {}))}
    assert examine_file("clip.mp4", **fragmented).state == "consistent"


@pytest.mark.parametrize(("hours", "state"), [(0, "consistent"), (13, "consistent"), (40, "inconsistent")])
def test_modification_before_creation(hours, state):
    facts = movie(4, 4, 4, f"2021-05-{5 + hours // 24:02}T{hours % 24:02}:00:00Z", "2021-05-05T00:00:00Z")
    assert examine_file("clip.mp4", **facts).state == state


def test_exif_that_was_taken_after_it_was_changed_is_suspicious_at_most():
    tags = {"exif.DateTimeOriginal": "2022:05:05 00:00:00", "exif.DateTime": "2020:05:05 00:00:00"}
    assert examine_file(tags=tags).state == "suspicious"
    assert examine_file(tags={**tags, "exif.DateTime": "0000:00:00 00:00:00"}).state == "consistent"


@pytest.mark.parametrize(
    ("name", "container", "state"),
    [
        ("a.jpg", "jpeg", "consistent"),
        ("a.JPEG", "jpeg", "consistent"),
        ("a.png", "jpeg", "suspicious"),
        ("a.mp4", "matroska", "suspicious"),
        ("a.jpg", "mov", "inconsistent"),
        ("a.mp4", "png", "inconsistent"),
        ("a", "jpeg", "consistent"),
        ("a.dat", "jpeg", "consistent"),
        ("", "something new", "consistent"),
    ],
)
def test_extension_and_container(name, container, state):
    assert examine_file(name, container=container, tags={"a": "b"}).state == state


def test_every_container_has_extensions_that_are_its_own():
    names = [name for names in EXTENSIONS.values() for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("kind", "size", "state"),
    [("JPEG", 5000, "consistent"), ("zeros", 500, "consistent"), ("unknown", 4, "consistent"),
     ("unknown", 500, "suspicious"), ("archive", 500, "inconsistent")],
)  # fmt: skip
def test_bytes_behind_the_end(kind, size, state):
    jpeg = JpegFacts(8, 8, (), None, None, "4:2:0", False, (), size)
    assert examine_file(jpeg=jpeg, tags={"jpeg.trailing": kind}).state == state
    if size > 16:
        png = examine_file("a.png", container="png", tags={"png.trailing": f"{size} bytes, {kind}"})
        assert png.state == state


def test_absence_is_not_evidence():
    finding = examine_file()
    assert (finding.state, finding.statistic) == ("inconclusive", 0.0)
    assert "absence is not evidence" in finding.observation
    assert "cannot be relied upon in isolation" in ANALYSIS.limits
    assert ANALYSIS.parameters["inconsistent_at"] == CONTRADICTION


def test_it_is_deterministic_and_bears_odd_facts():
    odd = movie(0, 0, 0.01) | {"tags": {"": "", "exif.Software": "", "png.trailing": "", "xmp.DigitalSourceType": ""}}
    odd["boxes"] = (*odd["boxes"], Box("moov/mvhd", 0, 0, {"creation_time": "9 s after 1904", "timescale": "0"}))
    first, second = examine_file("..", **odd), examine_file("..", **odd)
    assert first.state == second.state != "inconsistent"
    assert first.measures == second.measures
