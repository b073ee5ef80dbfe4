"""WebP, H.264 and delivery: the strength that is asked for is the one that the codec gets, and clips keep their times."""

import subprocess
import sys
import weakref
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from forensics.perturb import crop_borders, deliver, gamma, h264, jpeg, shift_colour, webp
from forensics.perturb.avc import encode_intra
from forensics.perturb.clip import TICKS_PER_S, recompress_clip


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.fixture(scope="module")
def face(portrait) -> np.ndarray:
    return np.ascontiguousarray(portrait[:160, 150:310])


def test_webp_is_lossy_at_every_quality_and_keeps_the_colour_order(face):
    errors = [psnr(webp(face, quality), face) for quality in (100, 90, 60, 30, 1)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 60  # lossless would be infinite
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 220
    assert np.abs(webp(red, 90).reshape(-1, 3).mean(0) - [220, 0, 0]).max() < 6


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_webp_outside_its_range_is_an_error_and_not_lossless(face, quality):
    with pytest.raises(ValueError, match="1 to 100"):
        webp(face, quality)


@pytest.mark.parametrize(("change", "side"), [(jpeg, 66_000), (webp, 17_000), (h264, 17_000)])
@pytest.mark.parametrize("is_tall", [True, False])
def test_what_a_format_cannot_hold_is_a_typed_error(change, side, is_tall):
    picture = np.zeros((side, 2, 3) if is_tall else (2, side, 3), np.uint8)
    with pytest.raises(ValueError, match="refuses a picture of"):
        change(picture, 50)


@pytest.mark.parametrize(("crf", "written"), [(18, b"crf=18.0"), (34, b"crf=34.0"), (23.5, b"crf=23.5")])
def test_the_crf_asked_for_is_in_the_stream(face, crf, written):
    """x264 writes its settings into the stream as user data (SEI)."""
    data = encode_intra(face, crf)
    assert written in data
    assert b" threads=1 " in data
    assert data.count(b"crf=") == 1


def test_a_picture_is_one_intra_frame(face):
    decoder = av.CodecContext.create("h264", "r")
    frames = [*decoder.decode(av.Packet(encode_intra(face, 30))), *decoder.decode(None)]
    assert [frame.pict_type for frame in frames] == [1]  # I
    assert frames[0].format.name == "yuv420p"


def test_h264_gets_worse_and_smaller_with_its_crf(face):
    crfs = (0, 10, 18, 23, 28, 34, 40, 51)
    errors = [psnr(h264(face, crf), face) for crf in crfs]
    sizes = [len(encode_intra(face, crf)) for crf in crfs]
    assert errors == sorted(errors, reverse=True)
    assert sizes == sorted(sizes, reverse=True)
    assert errors[0] - errors[-1] > 15


def test_h264_does_not_shift_brightness_or_colour():
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (64, 1))[:, :, None], 3, 2)
    for plane, level in zip(np.moveaxis(h264(ramp, 10).astype(np.float64) - ramp, 2, 0), "RGB", strict=True):
        assert abs(plane.mean()) < 0.5, level
    for colour in ((220, 40, 40), (40, 200, 60), (30, 60, 210)):
        picture = np.full((48, 48, 3), colour, np.uint8)
        assert np.abs(h264(picture, 18).astype(int) - picture).max() <= 3


@pytest.mark.parametrize("shape", [(33, 47), (1, 1), (1, 200), (201, 1), (16, 17), (2, 2)])
def test_h264_keeps_any_size(portrait, shape):
    picture = portrait[80 : 80 + shape[0], 180 : 180 + shape[1]]
    changed = h264(picture, 20)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    assert psnr(changed, picture) > 25


def test_an_odd_side_is_padded_by_its_edge(face):
    """With any other padding the last column would bleed: black or white beside the face."""
    odd = np.ascontiguousarray(face[:, :-1])
    changed = h264(odd, 20)
    assert psnr(changed[:, -1], odd[:, -1]) > psnr(changed, odd) - 6


@pytest.mark.parametrize("crf", [-1, 51.5, float("nan")])
def test_h264_outside_its_range_is_an_error(face, crf):
    with pytest.raises(ValueError, match="0 to 51"):
        h264(face, crf)


def test_ffmpeg_is_not_loaded_until_it_is_used():
    code = "import sys, forensics.perturb.clip, forensics.perturb.grid; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_gamma_is_a_power(face):
    every = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    for value in (0.5, 0.8, 1.25, 2.0):
        np.testing.assert_array_equal(gamma(every, value)[0, :, 0], np.rint(255 * (np.arange(256) / 255) ** value))
        difference = gamma(face, value).astype(int) - shift_colour(face, 1.0, 0.0, 1.0, value)
        assert np.abs(difference).max() <= 1
    np.testing.assert_array_equal(gamma(face, 1.0), face)
    with pytest.raises(ValueError, match="greater than 0"):
        gamma(face, 0.0)


def test_a_crop_is_the_middle():
    y, x = np.mgrid[:40, :60]
    picture = np.stack([y, x, y + x], -1).astype(np.uint8)
    cropped = crop_borders(picture, 0.8)
    assert cropped.shape == (32, 48, 3)
    np.testing.assert_array_equal(cropped, picture[4:36, 6:54])
    np.testing.assert_array_equal(crop_borders(picture, 1.0), picture)
    assert crop_borders(picture[:1, :1], 0.1).shape == (1, 1, 3)
    for share in (0.0, 1.01, -1.0):
        with pytest.raises(ValueError, match="above 0 and up to 1"):
            crop_borders(picture, share)


def test_delivery_reduces_by_area_and_never_enlarges(portrait):
    large = cv2.resize(portrait, (1500, 1200), interpolation=cv2.INTER_CUBIC)
    delivered = deliver(large, 1080, 70)
    assert delivered.shape == (864, 1080, 3)
    np.testing.assert_array_equal(delivered, jpeg(cv2.resize(large, (1080, 864), interpolation=cv2.INTER_AREA), 70))
    tall = deliver(np.ascontiguousarray(large.transpose(1, 0, 2)), 1080, 70)
    assert tall.shape == (1080, 864, 3)
    np.testing.assert_array_equal(deliver(portrait, 1080, 70), jpeg(portrait, 70))
    assert deliver(np.zeros((2000, 1, 3), np.uint8), 1080, 50).shape == (1080, 1, 3)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        deliver(portrait, 0, 70)


def frames_at(times_s, portrait, shape=(48, 64)):
    """The portrait drifts, so that frames differ and are predicted from each other."""
    for number, time_s in enumerate(times_s):
        yield time_s, portrait[60 + number : 60 + number + shape[0], 150 + 2 * number : 150 + 2 * number + shape[1]]


def read_clip(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        return stream.time_base, [pts for pts, _ in frames], [pixels for _, pixels in frames]


@pytest.mark.parametrize(
    "times_s",
    [
        [number / 25 for number in range(30)],
        [number * 1001 / 30000 for number in range(30)],
        [0.0, 0.01, 0.05, 0.3, 0.31, 2.0, 2.5, 2.52, 7.0, 7.001],
        [1.5, 1.6, 1.8],
        [0.25],
        [0.0, 1 / TICKS_PER_S, 1.0],
        [86400.0 + number / 30 for number in range(5)],
    ],
    ids=["25 fps", "29.97 fps", "variable", "a late start", "one frame", "one tick", "a day later"],
)
def test_a_clip_keeps_every_time(tmp_path, portrait, times_s):
    path = tmp_path / "clip.mp4"
    assert recompress_clip(frames_at(times_s, portrait), path, 28) == len(times_s)
    time_base, ticks, pictures = read_clip(path)
    assert time_base == Fraction(1, TICKS_PER_S)
    assert ticks == [round(time_s * TICKS_PER_S) for time_s in times_s]
    for picture, (_, expected) in zip(pictures, frames_at(times_s, portrait), strict=True):
        assert psnr(picture, expected) > 22  # each frame is itself, not its neighbour
    assert list(tmp_path.iterdir()) == [path]


def test_a_clip_has_the_crf_asked_for_and_gets_worse_with_it(tmp_path, portrait):
    times_s = [number / 25 for number in range(12)]
    originals = np.stack([picture for _, picture in frames_at(times_s, portrait)])
    errors, sizes = [], []
    for crf in (18, 28, 40):
        path = tmp_path / f"{crf}.mp4"
        recompress_clip(frames_at(times_s, portrait), path, crf)
        assert f"crf={crf}.0".encode() in path.read_bytes()
        errors.append(psnr(np.stack(read_clip(path)[2]), originals))
        sizes.append(path.stat().st_size)
    assert errors == sorted(errors, reverse=True)
    assert errors[0] - errors[-1] > 6
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("shape", [(48, 64), (96, 96), (160, 224)])
def test_the_same_frames_give_the_same_bytes(tmp_path, portrait, shape):
    """Whatever lay in memory before: x264's widest routines read what they did not write, and are not used."""
    times_s = [number / 25 for number in range(30)]
    rng = np.random.default_rng(0)
    written = set()
    for number in range(6):
        dirt = [np.full(int(size), number + 1, np.uint8) for size in rng.integers(500, 300_000, 60)]
        del dirt
        recompress_clip(frames_at(times_s, portrait, shape), tmp_path / "clip.mp4", 30)
        written.add((tmp_path / "clip.mp4").read_bytes())
    assert len(written) == 1


def test_the_settings_of_a_clip_are_in_its_stream(tmp_path, portrait):
    path = tmp_path / "clip.mp4"
    times_s = [number / 25 for number in range(12)]
    recompress_clip(frames_at(times_s, portrait, (160, 160)), path, 30)  # large enough for more threads than one
    for setting in (b" threads=1 ", b" mbtree=1 ", b" keyint=250 "):
        assert setting in path.read_bytes()
    recompress_clip(frames_at(times_s, portrait), path, 30, preset="veryfast", gop_frames=5)
    for setting in (b" subme=2 ", b" keyint=5 "):
        assert setting in path.read_bytes()  # the older clip is replaced


@pytest.mark.parametrize("shape", [(47, 63), (1, 64), (33, 48)])
def test_an_odd_clip_gains_a_copy_of_its_edge(tmp_path, portrait, shape):
    path = tmp_path / "odd.mp4"
    recompress_clip(frames_at([0.0, 0.04], portrait, shape), path, 16)
    _, _, pictures = read_clip(path)
    height, width = shape
    assert pictures[0].shape == (height + height % 2, width + width % 2, 3)
    expected = next(frames_at([0.0], portrait, shape))[1]
    assert psnr(pictures[0][:height, :width], expected) > 28
    assert psnr(pictures[0][-1, :width], expected[-1]) > 22
    assert psnr(pictures[0][:height, -1], expected[:, -1]) > 22


def test_frames_stream_through(tmp_path, portrait):
    """Of 200 frames, the first, the present and the next are alive at any time."""
    given, peak = [], 0

    def frames():
        nonlocal peak
        for number in range(200):
            picture = np.full((32, 32, 3), number, np.uint8)
            given.append(weakref.ref(picture))
            peak = max(peak, sum(reference() is not None for reference in given))
            yield number / 25, picture

    assert recompress_clip(frames(), tmp_path / "long.mp4", 30) == 200
    assert peak <= 3


@pytest.mark.parametrize(
    ("times_s", "message"),
    [
        ([], "at least one frame"),
        ([0.0, 0.0], "frame 1 is at 0.0 s"),
        ([0.0, 0.2, 0.1], "frame 2 is at 0.1 s"),
        ([0.0, 0.2 / TICKS_PER_S], "by a tick or more"),
        ([-0.1], "times start at 0"),
        ([0.0, float("nan")], "frame 1 is at nan s"),
        ([float("inf")], "frame 0 is at inf s"),
    ],
)
def test_times_that_do_not_grow_are_an_error_and_leave_nothing(tmp_path, portrait, times_s, message):
    path = tmp_path / "clip.mp4"
    with pytest.raises(ValueError, match=message):
        recompress_clip(frames_at(times_s, portrait), path, 28)
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_on_the_way_leaves_an_older_clip_alone(tmp_path, portrait):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")

    def growing():
        yield 0.0, portrait[:48, :64]
        yield 0.04, portrait[:50, :64]

    def broken():
        yield 0.0, portrait[:48, :64]
        raise KeyError("the reader failed")

    with pytest.raises(ValueError, match=r"frame 1 has the shape \(50, 64, 3\), the first one \(48, 64, 3\)"):
        recompress_clip(growing(), path, 28)
    with pytest.raises(KeyError, match="the reader failed"):
        recompress_clip(broken(), path, 28)
    with pytest.raises(ValueError, match="0 to 51"):
        recompress_clip(frames_at([0.0], portrait), path, 52)
    with pytest.raises(ValueError, match="refuses a picture of 17000 x 2"):
        recompress_clip(iter([(0.0, np.zeros((2, 17_000, 3), np.uint8))]), path, 28)
    with pytest.raises(ValueError, match="preset no-such"):
        recompress_clip(frames_at([0.0], portrait), path, 28, preset="no-such")
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ticks_per_s", [1, 600, 1000, 12_800, 30_000, 1_000_000, 10_000_000])
def test_times_of_another_clock_stay_exact(tmp_path, portrait, ticks_per_s):
    ticks = [0, 1, 5, 30, 31]
    frames = frames_at([tick / ticks_per_s for tick in ticks], portrait)
    recompress_clip(frames, tmp_path / "clip.mp4", 28, ticks_per_s=ticks_per_s)
    time_base, found, _ = read_clip(tmp_path / "clip.mp4")
    assert [tick * time_base for tick in found] == [Fraction(tick, ticks_per_s) for tick in ticks]


@pytest.mark.parametrize("ticks_per_s", [0, -1, 10_000_001])
def test_a_clock_outside_the_range_is_an_error(tmp_path, portrait, ticks_per_s):
    with pytest.raises(ValueError, match="ticks a second"):
        recompress_clip(frames_at([0.0], portrait), tmp_path / "clip.mp4", 28, ticks_per_s=ticks_per_s)
    assert list(tmp_path.iterdir()) == []


def test_tags_change_nothing_but_themselves(tmp_path, portrait):
    written = []
    for metadata in (None, {}, {"comment": "Synthetic", "title": "é"}):
        recompress_clip(frames_at([0.0, 0.04], portrait), tmp_path / "clip.mp4", 28, metadata=metadata)
        written.append((tmp_path / "clip.mp4").read_bytes())
    assert written[0] == written[1]
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert (container.metadata["comment"], container.metadata["title"]) == ("Synthetic", "é")
    pictures = written[0][written[0].index(b"mdat") :]
    length = int.from_bytes(written[0][written[0].index(b"mdat") - 4 : written[0].index(b"mdat")], "big")
    assert pictures[: length - 4] in written[2]
