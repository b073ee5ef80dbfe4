"""Whole clips with a face replaced: every frame, its time, sound and mask against the source's own."""

import json
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from faceswap_clips import GREEN, RED, ColourDetector, blank, draw_face, moving_person, write_frames
from faceswap_fakes import (
    BLUE,
    YELLOW,
    ColourSwapper,
    SharedReader,
    frames_of,
    kinds_of,
    names_in,
    sound_of,
    tags_of,
    times_of,
    turned,
    write_timed,
)

from eval.datasets.loading import load_dataset
from forensics.cli import cli
from forensics.common.errors import ManifestError, MediaError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import read_manifest
from forensics.common.progress import Progress
from forensics.media.reader import MediaReader
from forensics.media.types import Sampling
from generators.faceswap.config import RenderConfig
from generators.faceswap.rendering import rendering
from generators.faceswap.rendering.convert import convert
from generators.faceswap.rendering.outputs import swapped_share

QUIET = Progress(quiet=True)
PLAIN = RenderConfig(colour="none", mask="head", smooth_s=0, encoder="ultrafast")
VARIABLE = [0, *np.cumsum(np.random.default_rng(5).integers(900, 9000, 15)).tolist()]
FILES = {"swapped.mp4", "swapped.mask.mp4", "swapped.frames.json", "manifest.csv"}


def swapped(path: Path, output: Path, config=PLAIN, detector=None, swapper=None, **options) -> rendering.Rendering:
    return convert(
        path, swapper or ColourSwapper(), detector or ColourDetector(), output, config, QUIET, threads=1, **options
    )


def listed(output: Path) -> dict:
    return json.loads(output.with_name(output.stem + ".frames.json").read_text())


@pytest.fixture(scope="module")
def reader():
    with MediaReader() as shared:
        yield shared


@pytest.fixture(autouse=True)
def _one_decoder(reader, monkeypatch):
    for module in (
        "generators.faceswap.extraction.tracks",
        "generators.faceswap.rendering.rendering",
        "forensics.media.sound",
    ):
        monkeypatch.setattr(f"{module}.MediaReader", SharedReader(reader))


@pytest.fixture(scope="module")
def red(tmp_path_factory) -> Path:
    return write_frames(tmp_path_factory.mktemp("clips") / "red.mp4", moving_person(12))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """Two people side by side; the green one is larger."""
    frames = []
    for k in range(8):
        frame = blank()
        draw_face(frame, 10 + k, 20, 60, RED, k)
        draw_face(frame, 130, 30 + k, 90, GREEN, k)
        frames.append(frame)
    return write_frames(tmp_path_factory.mktemp("clips") / "pair.mp4", frames)


CLIPS = {
    "regular.mp4": {"ticks": [3600 * k for k in range(16)], "sound_start": 0},
    "variable.mp4": {"ticks": VARIABLE, "sound_start": 4_800},
    "late.mov": {"ticks": [45_001 + tick for tick in VARIABLE], "sound_start": 0},
    "film.mp4": {"ticks": [1001 * k for k in range(16)], "clock": Fraction(1, 24_000), "sound_start": 0},
    "odd clock.mov": {"ticks": range(16), "clock": Fraction(1, 12_345)},
    "silent.mp4": {"ticks": VARIABLE},
}


@pytest.mark.parametrize("name", CLIPS)
def test_frames_times_and_sound_are_the_sources(tmp_path, name):
    source = write_timed(tmp_path / name, moving_person(16), **CLIPS[name])
    assert "B" in kinds_of(source)
    done = swapped(source, tmp_path / "out" / "swapped.mp4")
    assert len(frames_of(done.output)) == len(frames_of(done.mask)) == 16
    assert times_of(done.output) == times_of(source)
    start = times_of(source)[0]
    assert times_of(done.mask) == [time - start for time in times_of(source)]
    assert [row["t"] for row in listed(done.output)["frames"]] == pytest.approx(
        [float(time - start) for time in times_of(source)], abs=1e-6
    )
    assert sound_of(done.output) == sound_of(source)
    assert len(sound_of(source)) == (0 if "sound_start" not in CLIPS[name] else 48)
    assert (done.frames, done.swapped, done.filled, done.errors) == (16, 16, 0, ())
    assert done.sound.packets == len(sound_of(source))
    assert names_in(tmp_path / "out") == FILES
    tags = tags_of(done.output)
    assert tags["title"] == "Synthetic media" and "compositeWithTrainedAlgorithmicMedia" in tags["description"]
    assert "mask of a face swap" in tags_of(done.mask)["description"]
    assert not {"anna", "bea", done.output.stem} & set(tags["description"].lower().split())


def test_a_turned_clip_comes_out_upright(tmp_path):
    upright = moving_person(6)
    lying = write_frames(tmp_path / "lying.mp4", [np.rot90(frame) for frame in upright])
    source = turned(lying, tmp_path / "turned.mp4")
    done = swapped(source, tmp_path / "out" / "swapped.mp4")
    made, masks = frames_of(done.output), frames_of(done.mask)
    assert made[0].shape == masks[0].shape == (160, 240, 3)
    with av.open(str(done.output)) as container:
        assert next(container.decode(video=0)).rotation == 0
    for frame, mask, before in zip(made, masks, upright, strict=True):
        outside = cv2.dilate(mask[:, :, 0], np.ones((9, 9))) == 0
        assert np.abs(frame[outside].astype(int) - before[outside]).mean() < 4
        assert np.abs(np.median(frame[mask[:, :, 0] == 255], axis=0) - BLUE).max() < 12


def test_sides_that_are_odd_gain_a_pixel_in_clip_and_mask_alike(tmp_path):
    source = write_timed(tmp_path / "odd.mp4", [f[:159, :239] for f in moving_person(6)], range(0, 6 * 3600, 3600))
    assert frames_of(source)[0].shape == (159, 239, 3)
    done = swapped(source, tmp_path / "out" / "swapped.mp4")
    assert done.swapped == 6
    assert {frame.shape for path in (done.output, done.mask) for frame in frames_of(path)} == {(160, 240, 3)}
    left, top, right, bottom = listed(done.output)["frames"][0]["boxes"][0]
    assert 0 <= left < right <= 239 and 0 <= top < bottom <= 159


@pytest.mark.parametrize("reverse", [False, True])
def test_the_mask_is_what_changed(red, tmp_path, reverse, monkeypatch):
    """What goes into the encoder against what came out of the decoder, under the mask that was written."""
    painted = []
    plain_put = rendering._Encoder.put

    def put(self, time_s, frame):
        painted.append(frame)
        plain_put(self, time_s, frame)

    monkeypatch.setattr(rendering._Encoder, "put", put)
    done = swapped(red, tmp_path / "swapped.mp4", RenderConfig(colour="none"), reverse=reverse)
    with MediaReader() as reader, reader.open(red, Sampling(max_frames=100, every_frame=True)) as stream:
        before = [sample.pixels for sample in stream]
    masks = [mask[:, :, 0] for mask in frames_of(done.mask)]
    rows = listed(done.output)["frames"]
    colour = YELLOW if reverse else BLUE
    assert len(before) == len(masks) == len(rows) == 12
    for k, (old, mask, row) in enumerate(zip(before, masks, rows, strict=True)):
        frame, drawn = painted[2 * k], painted[2 * k + 1]
        np.testing.assert_array_equal(frame[mask == 0], old[mask == 0])
        np.testing.assert_array_equal(mask == 0, drawn == 0)
        assert np.abs(mask.astype(int) - drawn).max() <= 2  # 8 bits become 220 levels of video, and come back
        changed = (frame != old).any(-1)
        assert changed[drawn > 40].mean() > 0.99
        assert (frame[drawn == 255] == colour).all()
        ys, xs = np.nonzero(mask)
        assert row["boxes"] == [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]
    assert listed(done.output)["worn"] == ("target" if reverse else "source")


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (8, 2), (5, 1)])
def test_batches_and_threads_give_the_same_bytes(pair, tmp_path, monkeypatch, size, threads):
    config = RenderConfig(paste="poisson", encoder="ultrafast")
    one = swapped(pair, tmp_path / "a" / "swapped.mp4", config, tracks=(1, 2))
    monkeypatch.setattr(rendering, "BATCH_FRAMES", size)
    swapper = ColourSwapper()
    other = convert(
        pair, swapper, ColourDetector(), tmp_path / "b" / "swapped.mp4", config, QUIET, tracks=(1, 2), threads=threads
    )
    assert max(swapper.batches) == 2 * size
    assert one.output.read_bytes() == other.output.read_bytes()
    assert one.mask.read_bytes() == other.mask.read_bytes()
    assert listed(one.output) == listed(other.output)


# -- which frames, whose face


def test_frames_without_the_face_go_through_and_are_counted(tmp_path):
    frames = [*moving_person(6), *[blank()] * 6]
    source = write_frames(tmp_path / "leaves.mp4", frames)
    done = swapped(source, tmp_path / "out" / "swapped.mp4")
    assert (done.frames, done.swapped, done.share, dict(done.problems)) == (12, 6, 0.5, {"no face found": 6})
    masks = frames_of(done.mask)
    assert all(mask.any() for mask in masks[:6]) and not any(mask.any() for mask in masks[6:])
    rows = listed(done.output)
    assert [len(row["boxes"]) for row in rows["frames"]] == [1] * 6 + [0] * 6
    assert (rows["swapped"], rows["total"], rows["problems"]) == (6, 12, {"no face found": 6})
    assert swapped_share(done.output, 12) == 0.5
    with pytest.raises(ManifestError, match="13 frames"):
        swapped_share(done.output, 13)


def test_a_frame_between_two_is_filled_in_and_counted(red, tmp_path, monkeypatch):
    # Every face is detected in its own frame here: following would find the missing ones by itself.
    clip = rendering_clip(red, blind=(5, 6))
    monkeypatch.setattr("generators.faceswap.rendering.convert.follow_clip", lambda *_, **__: clip)
    done = swapped(red, tmp_path / "swapped.mp4")
    assert (done.frames, done.swapped, done.filled, dict(done.problems)) == (12, 12, 2, {})
    assert [row["filled"] for row in listed(done.output)["frames"]] == [k in (5, 6) for k in range(12)]
    assert all((mask > 250).any() for mask in frames_of(done.mask))


def rendering_clip(path: Path, blind=(), collapsed=()):
    """A look at a clip of one person with faces taken away, or with landmarks in one point."""
    from dataclasses import replace

    from generators.faceswap.extraction.tracks import follow_clip

    clip = follow_clip(path, ColourDetector(), QUIET)
    frames = []
    for frame in clip.frames:
        faces = frame.faces
        if frame.index in blind:
            faces = ()
        if frame.index in collapsed:
            flat = np.full((5, 2), 50, np.float32)
            faces = tuple(replace(f, face=replace(f.face, landmarks=flat)) for f in faces)
        frames.append(replace(frame, faces=faces))
    return replace(clip, frames=tuple(frames))


def test_the_reason_is_said_where_a_frame_is_not_swapped(red, tmp_path, monkeypatch):
    clip = rendering_clip(red, collapsed=(10, 11))
    monkeypatch.setattr("generators.faceswap.rendering.convert.follow_clip", lambda *_, **__: clip)
    done = swapped(red, tmp_path / "swapped.mp4")
    assert (done.swapped, dict(done.problems)) == (10, {"landmarks that coincide": 2})


def test_nothing_swapped_is_an_error_that_says_why_and_leaves_no_file(tmp_path, red, monkeypatch):
    empty = write_frames(tmp_path / "empty.mp4", [blank()] * 5)
    with pytest.raises(UsageError, match="none was found in its 5 frames"):
        swapped(empty, tmp_path / "out" / "swapped.mp4")
    nothing = ColourSwapper(np.zeros((64, 64), np.uint8))
    with pytest.raises(UsageError, match=r"not one face was swapped in red\.mp4: 12 times nothing left of the mask"):
        swapped(red, tmp_path / "out" / "swapped.mp4", swapper=nothing)
    clip = rendering_clip(red, collapsed=range(12))
    monkeypatch.setattr("generators.faceswap.rendering.convert.follow_clip", lambda *_, **__: clip)
    with pytest.raises(UsageError, match="12 times landmarks that coincide"):
        swapped(red, tmp_path / "out" / "swapped.mp4")
    assert names_in(tmp_path) == {"empty.mp4", "out"}


def test_tracks_are_those_that_are_asked_for(pair, tmp_path):
    largest = swapped(pair, tmp_path / "a.mp4")
    small = swapped(pair, tmp_path / "b.mp4", tracks=(1,))
    both = swapped(pair, tmp_path / "c.mp4", tracks=(1, 2))
    halves = [
        [mask[:, :115].any(), mask[:, 115:].any()] for mask in (frames_of(d.mask)[3] for d in (largest, small, both))
    ]
    assert halves == [[False, True], [True, False], [True, True]]
    boxes = listed(both.output)["frames"][3]["boxes"]
    assert len(boxes) == 2 and boxes[0][2] < 115 < boxes[1][0]
    assert listed(both.output)["tracks"] == [1, 2]
    assert [row.path.name for row in read_manifest(both.manifest)] == ["a.mp4", "b.mp4", "c.mp4"]
    with pytest.raises(UsageError, match="no track 7") as found:
        swapped(pair, tmp_path / "d.mp4", tracks=(7,))
    assert "1, 2" in found.value.hint and not (tmp_path / "d.mp4").exists()


def test_one_face_of_two_is_said(pair, tmp_path, monkeypatch):
    clip = rendering_clip(pair)
    for frame in clip.frames[:3]:
        frame.faces[0].face.landmarks[:] = 50
    monkeypatch.setattr("generators.faceswap.rendering.convert.follow_clip", lambda *_, **__: clip)
    done = swapped(pair, tmp_path / "swapped.mp4", tracks=(1, 2))
    assert (done.swapped, dict(done.problems)) == (8, {"one face of several: landmarks that coincide": 3})


# -- what is said of it


def test_the_manifest_is_read_back_and_grows_and_is_replaced(red, pair, tmp_path):
    first = swapped(red, tmp_path / "one.mp4")
    swapped(pair, tmp_path / "two.mkv", reverse=True)
    swapped(red, tmp_path / "one.mp4", RenderConfig(colour="none", encoder="ultrafast"), overwrite=True)
    rows = read_manifest(first.manifest)
    assert [row.path.name for row in rows] == ["two.mkv", "one.mp4"]
    two, one = rows
    for row in rows:
        assert (row.label, row.generator, row.dataset, row.view) == (
            1, "faceswap-autoencoder", "forensics-generate", "scene",
        )  # fmt: skip
        assert row.extra["sha256"] == sha256_of_file(row.path) and row.extra["checkpoint"] == "ab" * 32
        assert (tmp_path / row.mask).is_file() and (tmp_path / row.extra["frames"]).is_file()
        assert swapped_share(row.path, {"one.mp4": 12, "two.mkv": 8}[row.path.name]) == 1
    assert (one.identity, one.source, one.extra["target"], one.extra["worn"]) == ("anna", "red", "red", "source")
    assert (two.identity, two.source, two.extra["worn"]) == ("bea 1+bea 2", "pair", "target")
    assert (one.mask, two.mask) == ("one.mask.mp4", "two.mkv.mask.mp4")
    assert one.extra["of_sha256"] == sha256_of_file(red)
    found = load_dataset(tmp_path / "manifest.csv")
    assert [item.label for item in found.items] == [1, 1]


def test_the_same_again_gives_the_same_bytes_and_nothing_is_replaced_unasked(red, tmp_path):
    done = swapped(red, tmp_path / "swapped.mp4")
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(UsageError, match="exists"):
        swapped(red, done.output)
    swapped(red, done.output, overwrite=True)
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)} == before


# -- what goes wrong


def test_what_cannot_be_converted_is_said_before_it_costs_anything(red, tmp_path):
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), moving_person(1)[0][:, :, ::-1])
    with pytest.raises(UsageError, match=r"face.png is a picture.*") as found:
        swapped(picture, tmp_path / "x.mp4")
    assert "faceswap warp" in found.value.hint
    detector = ColourDetector()
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(red.read_bytes())
    with pytest.raises(UsageError, match="would replace a file that is read"):
        swapped(clip, clip, detector=detector, overwrite=True)
    with pytest.raises(UsageError, match="cannot be written"):
        swapped(clip, picture / "x.mp4", detector=detector)
    (tmp_path / "manifest.csv").write_text("name,size\nx,1\n")
    with pytest.raises(ManifestError, match="no column"):
        swapped(clip, tmp_path / "x.mp4", detector=detector)
    assert detector.calls == 0
    with pytest.raises(MediaError):
        swapped(tmp_path / "missing.mp4", tmp_path / "elsewhere" / "x.mp4")
    assert names_in(tmp_path) == {"face.png", "clip.mp4", "manifest.csv"}
    assert clip.read_bytes() == red.read_bytes()


def test_a_clip_that_is_cut_off_is_swapped_as_far_as_it_goes_and_says_so(tmp_path):
    whole = write_timed(tmp_path / "whole.mp4", moving_person(40), range(0, 40 * 3600, 3600))
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    done = swapped(cut, tmp_path / "out" / "swapped.mp4")
    assert 5 < done.frames < 40 and done.errors
    assert len(set(done.errors)) == len(done.errors)
    assert len(frames_of(done.output)) == len(frames_of(done.mask)) == done.frames


def test_damage_in_the_middle_moves_no_face_to_another_frame(tmp_path):
    """Frames behind the damage keep their numbers: the mask must be where the face is in that frame."""
    frames = []
    for k in range(30):
        frame = blank()
        draw_face(frame, 10 + 4 * k, 30, 80, RED, k)
        frames.append(frame)
    whole = tmp_path / "whole.mkv"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "crf": "12"})
        stream.height, stream.width, stream.pix_fmt = 160, 240, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 1, 1
        packets = []
        for frame in frames:
            packets += stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24"))
        packets += stream.encode()
        for packet in packets:
            container.mux(packet)
    with av.open(str(whole)) as container:
        bodies = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    for k in (8, 9, 10):
        place = data.index(bodies[k])
        data[place : place + len(bodies[k])] = b"\0" * len(bodies[k])
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    done = swapped(damaged, tmp_path / "out" / "swapped.mp4")
    assert done.frames == 27 and done.swapped > 20 and done.errors
    times, boxes = zip(*((r["t"], r["boxes"]) for r in listed(done.output)["frames"]), strict=True)
    assert times[-1] == pytest.approx(29 / 25, abs=2e-3)
    for time, found in zip(times, boxes, strict=True):
        if found:
            assert found[0][0] == pytest.approx(10 + 4 * round(time * 25) + 10, abs=8)


def shorter(monkeypatch, n: int, error: Exception | None = None) -> None:
    """Let the second look at a clip end after n frames."""
    plain = rendering.prefetch

    def ends(items, depth):
        for k, item in enumerate(plain(items, depth)):
            if k == n:
                if error is not None:
                    raise error
                return
            yield item

    monkeypatch.setattr(rendering, "prefetch", ends)


@pytest.mark.parametrize("n", [0, 5])
@pytest.mark.parametrize("error", [MediaError("decoding took longer than 3 s"), None])
def test_a_second_look_that_ends_early_is_an_error_and_leaves_nothing(red, tmp_path, monkeypatch, n, error):
    shorter(monkeypatch, n, error)
    why = "decoding took longer" if error else "the file has changed"
    with pytest.raises(MediaError, match=f"12 frames of red.mp4 were decoded at first, now {n}: {why}"):
        swapped(red, tmp_path / "out" / "swapped.mp4")
    assert names_in(tmp_path) == {"out"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("times"), RuntimeError("broken")])
def test_an_encoder_that_fails_is_an_error_and_leaves_nothing(red, tmp_path, monkeypatch, error):
    plain = rendering.recompress_clip

    def fails(frames, path, *rest, **more):
        if path.name != "mask.mp4":
            return plain(frames, path, *rest, **more)
        next(iter(frames))
        raise error

    monkeypatch.setattr(rendering, "recompress_clip", fails)
    before = threading.active_count()
    kind = RuntimeError if isinstance(error, RuntimeError) else UsageError
    with pytest.raises(kind, match=r"No space left|times|broken"):
        swapped(red, tmp_path / "out" / "swapped.mp4")
    assert names_in(tmp_path) == {"out"}
    assert_no_thread_beyond(before)


def assert_no_thread_beyond(before: int) -> None:
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(5)
    assert threading.active_count() <= before


@pytest.mark.parametrize("where", ["paint", "put"])
def test_a_stop_in_the_middle_leaves_nothing_and_ends_all_threads(red, tmp_path, monkeypatch, where):
    calls = 0

    def stops(plain):
        def stopping(*given, **more):
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
            return plain(*given, **more)

        return stopping

    monkeypatch.setattr(rendering, "BATCH_FRAMES", 2)
    if where == "paint":
        monkeypatch.setattr(ColourSwapper, "draw", stops(ColourSwapper.draw))
    else:
        monkeypatch.setattr(rendering._Encoder, "put", stops(rendering._Encoder.put))
    before = threading.active_count()
    for module in ("generators.faceswap.extraction.tracks", "generators.faceswap.rendering.rendering"):
        monkeypatch.setattr(f"{module}.MediaReader", MediaReader)
    closed = []
    plain_close = MediaReader.close
    monkeypatch.setattr(MediaReader, "close", lambda self, *a: (closed.append(1), plain_close(self, *a))[1])
    with pytest.raises(KeyboardInterrupt):
        swapped(red, tmp_path / "out" / "swapped.mp4")
    assert len(closed) >= 2  # of the first look, and of the one that was stopped
    assert names_in(tmp_path) == {"out"}
    assert_no_thread_beyond(before)


# -- the command


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setattr("generators.faceswap.training.swapper.find_swap", Path)
    monkeypatch.setattr("generators.faceswap.training.swapper.load_swapper", lambda path, device: ColourSwapper())
    monkeypatch.setattr("generators.faceswap.extraction.tracks.load_face_detector", lambda *_, **__: ColourDetector())

    def run(*args):
        return CliRunner().invoke(
            cli, ["generate", "faceswap", "convert", *map(str, args), "--threads", "1", "--quiet"]
        )

    return run


def test_the_command_says_how_much_was_swapped(command, tmp_path):
    source = write_frames(tmp_path / "leaves.mp4", [*moving_person(6), *[blank()] * 2])
    found = command(source, "--model", "run", "--output", tmp_path / "swapped.mp4", "--watermark", "--colour", "none")
    assert found.exit_code == 0, found.output
    assert "6 of 8 frames swapped (75%)" in found.output
    assert "not swapped: 2 frames, no face found" in found.output
    assert "sound: none" in found.output
    plain = swapped(source, tmp_path / "plain.mp4")
    marked = np.abs(frames_of(tmp_path / "swapped.mp4")[7].astype(int) - frames_of(plain.output)[7]).max(-1) > 60
    assert marked[120:].any() and not marked[:100].any()


@pytest.mark.parametrize(
    ("args", "says"),
    [(("--crf", "90"), "crf"), (("--erode", "0.4", "--feather", "0.3"), "leaves nothing"), (("--track", "9"), "no track 9"),
     (("--mask", "oval"), "oval")],
)  # fmt: skip
def test_the_command_names_what_cannot_be(command, red, tmp_path, args, says):
    found = command(red, "--model", "run", "--output", tmp_path / "swapped.mp4", *args)
    assert found.exit_code != 0
    assert isinstance(found.exception, UsageError | SystemExit)  # the command line makes one line of it
    assert says in found.output + str(found.exception)
    assert names_in(tmp_path) == set()
