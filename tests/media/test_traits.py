"""Traits of files: what an encoder chose, what lies beside the pixels, and nothing of what is shown."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_file
from forensics.common.outcomes import Outcome
from forensics.media.reader import MediaReader
from forensics.media.traits import IJG_CHROMA, IJG_LUMA, THUMBNAIL_PX, quality_of_table, read_traits
from forensics.media.types import MediaLimits

QUALITIES = (5, 25, 50, 60, 75, 90, 95, 100)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(48, 80, 3): noise, so that no encoder can leave anything out."""
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)


def saved(path: Path, pixels: np.ndarray, name: str, **options: object) -> Path:
    Image.fromarray(pixels).save(path, name, **options)
    return path


@pytest.mark.parametrize("quality", QUALITIES)
def test_jpeg_quality_is_the_one_that_was_asked_for(tmp_path, picture, quality):
    jpeg = read_traits(saved(tmp_path / "a.jpg", picture, "JPEG", quality=quality)).jpeg
    assert (jpeg.quality, jpeg.chroma_quality, jpeg.misfit) == (quality, quality, 0.0)


@pytest.mark.parametrize("quality", QUALITIES)
def test_jpeg_quality_of_another_encoder(tmp_path, picture, quality):
    assert cv2.imwrite(str(tmp_path / "a.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert read_traits(tmp_path / "a.jpg").jpeg.quality == quality


def test_tables_of_the_standard_are_quality_50():
    assert quality_of_table(IJG_LUMA) == (50, 0.0)
    assert quality_of_table(IJG_CHROMA, IJG_CHROMA) == (50, 0.0)
    assert quality_of_table(np.ones(64, np.int64)) == (100, 0.0)


def test_a_table_of_no_standard_has_a_misfit(tmp_path, picture):
    own = [int(value) for value in np.maximum(1, IJG_LUMA[::-1] // 3)]
    jpeg = read_traits(saved(tmp_path / "a.jpg", picture, "JPEG", qtables=[own, own])).jpeg
    assert jpeg.misfit > 1
    assert jpeg.n_tables == 1  # two of the same


@pytest.mark.parametrize(("option", "expected"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_chroma_subsampling(tmp_path, picture, option, expected):
    jpeg = read_traits(saved(tmp_path / "a.jpg", picture, "JPEG", subsampling=option)).jpeg
    assert (jpeg.subsampling, jpeg.n_tables) == (expected, 2)


def test_grey_and_progressive_jpeg(tmp_path, picture):
    grey = read_traits(saved(tmp_path / "grey.jpg", picture[:, :, 0], "JPEG"))
    assert (grey.jpeg.subsampling, grey.jpeg.n_tables, grey.jpeg.chroma_quality, grey.mode) == ("grey", 1, None, "L")
    assert not grey.jpeg.is_progressive
    assert read_traits(saved(tmp_path / "p.jpg", picture, "JPEG", progressive=True)).jpeg.is_progressive


def test_container_is_told_by_bytes_and_suffix_by_name(tmp_path, picture):
    path = saved(tmp_path / "really.JPG", picture, "PNG")
    traits = read_traits(path)
    assert (traits.kind, traits.container, traits.suffix, traits.mode) == ("image", "png", ".jpg", "RGB")
    assert (traits.width, traits.height, traits.size_bytes) == (80, 48, path.stat().st_size)
    assert traits.sha256 == sha256_of_file(path)
    assert traits.jpeg is None
    assert traits.clip is None


def test_metadata_of_a_jpeg(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0131], exif[0x010F] = "An editor 1.0", "A camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    full = read_traits(
        saved(tmp_path / "full.jpg", picture, "JPEG", exif=exif, icc_profile=profile, xmp=b"<x/>", comment=b"hello")
    ).metadata
    assert {"exif", "icc", "xmp", "comment", "software", "camera", "jfif"} <= full.kinds
    assert (full.icc_bytes, full.xmp_bytes) == (len(profile), 4)
    assert full.exif_bytes > 20
    bare = read_traits(saved(tmp_path / "bare.jpg", picture, "JPEG")).metadata
    assert (bare.kinds, bare.exif_bytes, bare.icc_bytes, bare.xmp_bytes) == ({"jfif"}, 0, 0, 0)


def test_metadata_of_a_png_lies_before_and_behind_the_pixels(tmp_path, picture):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "a generator")
    path = saved(tmp_path / "a.png", picture, "PNG", pnginfo=info)
    assert read_traits(path).metadata.kinds == {"text", "software"}
    bare = saved(tmp_path / "b.png", picture, "PNG")
    assert read_traits(bare).metadata.kinds == frozenset()
    text = b"tEXt" + b"Software\0a generator"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = bare.read_bytes()
    end = data.rindex(b"IEND") - 4
    (tmp_path / "c.png").write_bytes(data[:end] + chunk + data[end:])
    assert read_traits(tmp_path / "c.png").metadata.kinds == {"text", "software"}


def test_broken_exif_counts_and_does_not_stop(tmp_path, picture):
    metadata = read_traits(saved(tmp_path / "a.jpg", picture, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")).metadata
    assert "exif" in metadata.kinds
    assert not {"software", "camera"} & metadata.kinds


def test_thumbnail_averages_areas_of_the_upright_picture(tmp_path):
    halves = np.zeros((64, 128, 3), np.uint8)
    halves[:, 64:] = (200, 100, 50)
    thumbnail = read_traits(saved(tmp_path / "a.png", halves, "PNG")).thumbnail
    assert (thumbnail.shape, thumbnail.dtype) == ((THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8)
    assert np.array_equal(np.unique(thumbnail.reshape(-1, 3), axis=0), [[0, 0, 0], [200, 100, 50]])
    assert np.all(thumbnail[:, :16] == 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees clockwise: what was left comes to the top
    turned = read_traits(saved(tmp_path / "turned.png", halves, "PNG", exif=exif))
    assert (turned.width, turned.height) == (64, 128)
    assert np.all(turned.thumbnail[:16] == 0)
    assert np.all(turned.thumbnail[16:] == (200, 100, 50))


def test_a_clip_is_its_packets_and_its_middle_frame(tmp_path, clip_writer):
    frames = [np.full((48, 64, 3), 5 * k, np.uint8) for k in range(50)]
    path = clip_writer(tmp_path / "a.mp4", frames)
    with MediaReader() as reader:
        traits = read_traits(path, reader)
    assert (traits.kind, traits.width, traits.height, traits.suffix, traits.metadata) == ("video", 64, 48, ".mp4", None)
    clip = traits.clip
    assert (clip.frames, clip.has_audio, clip.is_variable_rate) == (50, False, False)
    assert clip.fps == pytest.approx(25)
    assert clip.duration_s == pytest.approx(2)
    assert clip.bit_rate_bps == pytest.approx(4 * path.stat().st_size)
    assert traits.sha256 == sha256_of_file(path)
    assert traits.thumbnail.mean() == pytest.approx(5 * 25, abs=3)
    assert read_traits(path).clip == clip  # with a child of its own


def test_what_is_no_picture_or_clip_is_refused(tmp_path, picture):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("once upon a time")
    (tmp_path / "head.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    (tmp_path / "noise.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("empty.jpg", "text.jpg", "head.jpg", "noise.mp4", "pipe.jpg", "missing.jpg", "a\0b.jpg", "."):
        with pytest.raises(MediaError) as caught:
            read_traits(tmp_path / name)
        assert "\n" not in caught.value.message
    with pytest.raises(MediaError) as caught:
        read_traits(saved(tmp_path / "large.png", picture, "PNG"), limits=MediaLimits(max_pixels=1000))
    assert caught.value.outcome is Outcome.LIMIT_EXCEEDED


def test_a_picture_that_is_cut_off_still_has_traits(tmp_path, picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[: buffer.tell() // 2])
    traits = read_traits(tmp_path / "cut.jpg")
    assert traits.jpeg.quality == 90
    assert traits.thumbnail[:8].std() > 10  # what was there is there
