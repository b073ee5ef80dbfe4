"""Frames with faces replaced, before any encoder: known colours under known masks, and not a bit beside them."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from faceswap_clips import GREEN, RED, blank, draw_face, landmarks_at, write_frames
from faceswap_fakes import BLUE, SIDE, YELLOW, ColourSwapper, drawn_mask, frames_of
from PIL import Image

from forensics.common.errors import ManifestError, MediaError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import read_manifest
from forensics.common.progress import Progress
from forensics.faces.types import Face
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits
from generators import clip_source
from generators.config import checked
from generators.faceswap.config import ColourMatch, MaskKind, RenderConfig
from generators.faceswap.extraction.tracks import ClipFaces, FrameFaces, TrackedFace
from generators.faceswap.locks import locked
from generators.faceswap.rendering import rendering
from generators.faceswap.rendering.convert import SwapPainter
from generators.faceswap.rendering.outputs import (
    Making,
    beside,
    check_output,
    files_of,
    identity_of,
    is_made,
    note,
    writing,
)
from generators.faceswap.rendering.rendering import Painted, Placed, box_of, placed_faces
from generators.pictures import encoded
from generators.provenance import synthetic_tags, tagged_png

PLAIN = RenderConfig(colour="none", mask="head", smooth_s=0)
STILL = np.zeros(2)
MAKING = Making("faceswap-test", "anna", "bea", "drawn by a test", {"checkpoint": "cd" * 32})


def person(x: float, y: float, side: float = 80, track: int = 1) -> Placed:
    return Placed(track, landmarks_at(x, y, side), STILL)


def noisy_frame(seed: int) -> np.ndarray:
    """Two people before noise: every pixel that is touched shows."""
    frame = np.random.default_rng(seed).integers(0, 256, (160, 240, 3)).astype(np.uint8)
    draw_face(frame, 20, 30, 80, RED)
    draw_face(frame, 130, 50, 70, GREEN)
    return frame


def paint(frames, faces, config=PLAIN, who=0, threads=1, swapper=None) -> list[Painted]:
    swapper = swapper or ColourSwapper()
    with ThreadPoolExecutor(threads) as pool:
        return SwapPainter(swapper.draw, SIDE, who, config, pool).paint(frames, faces)


def assert_same(one: list[Painted], other: list[Painted]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.frame, b.frame)
        np.testing.assert_array_equal(a.mask, b.mask)
        assert (a.boxes, a.problems) == (b.boxes, b.problems)


@pytest.mark.parametrize("paste", ["alpha", "poisson"])
@pytest.mark.parametrize("blur", [False, True])
def test_outside_the_mask_not_a_bit_changes(paste, blur):
    frames = [noisy_frame(k) for k in range(2)]
    before = [frame.copy() for frame in frames]
    moving = Placed(1, landmarks_at(20, 30, 80), np.array([6.0, -3.0]))
    faces = [[moving, person(130, 50, 70, 2)], [person(200, 110, 80)]]  # the last one hangs over the corner
    config = PLAIN.model_copy(update={"paste": paste, "motion_blur": blur})
    for frame, old, done, n in zip(frames, before, paint(frames, faces, config), (2, 1), strict=True):
        np.testing.assert_array_equal(frame, old)
        np.testing.assert_array_equal(done.frame[done.mask == 0], old[done.mask == 0])
        inside = done.mask == 255
        # Poisson gives a plain face the colours around it: of a drawn one only eyes and mouth go.
        least = 0.95 if paste == "alpha" else 0.02
        changed = (np.abs(done.frame[inside].astype(int) - old[inside]) > 40).any(-1)
        assert inside.sum() > 300 and changed.mean() > least
        assert len(done.boxes) == n and not done.problems


def test_the_colour_is_the_decoders_and_the_mask_is_where_it_was_drawn():
    frame = noisy_frame(0)
    source, target = (paint([frame], [[person(20, 30)]], who=who)[0] for who in (0, 1))
    np.testing.assert_array_equal(source.mask, target.mask)
    for done, colour in ((source, BLUE), (target, YELLOW)):
        assert (done.frame[done.mask == 255] == colour).all()
    # The head draws 48 of 64 pixels; the network sees 220 px of the aligned 256, which are the drawn face's 80.
    left, top, right, bottom = source.boxes[0]
    eroded = 0.05 * 48
    expected = np.array([8 + eroded, 56 - eroded]) * 80 / 64
    np.testing.assert_allclose([left, right], 20 + expected, atol=2)
    np.testing.assert_allclose([top, bottom], 30 + expected, atol=2)
    assert source.boxes[0] == box_of(source.mask)
    area = (80 * (48 - 2 * eroded) / 64) ** 2
    assert np.count_nonzero(source.mask) == pytest.approx(area, rel=0.15)  # interpolation reaches 2 px further


@pytest.mark.parametrize("colour", get_args(ColourMatch))
@pytest.mark.parametrize("mask", get_args(MaskKind))
def test_all_colours_and_masks_go_together(colour, mask):
    frame = noisy_frame(0)
    config = PLAIN.model_copy(update={"colour": colour, "mask": mask})
    (done,) = paint([frame], [[person(20, 30)]], config)
    assert not done.problems
    middle = np.median(done.frame[done.mask == 255], axis=0)
    near, far = (BLUE, RED) if colour == "none" else (RED, BLUE)
    assert np.abs(middle - near).sum() < np.abs(middle - far).sum()
    head, both = (paint([frame], [[person(20, 30)]], config.model_copy(update={"mask": kind}))[0].mask
                  for kind in ("head", "both"))  # fmt: skip
    assert 0 < np.count_nonzero(both) < np.count_nonzero(head)


def test_batches_and_threads_make_no_difference():
    frames = [noisy_frame(k) for k in range(5)]
    faces = [[person(20 + k, 30), person(130, 50 - k, 70, 2)][: 1 + k % 2] for k in range(5)]
    config = RenderConfig(paste="poisson")
    swapper = ColourSwapper()
    together = paint(frames, faces, config, swapper=swapper)
    assert swapper.batches == [7]
    assert_same(together, [paint([f], [p], config)[0] for f, p in zip(frames, faces, strict=True)])
    assert_same(together, paint(frames, faces, config, threads=2))


def test_a_face_that_cannot_be_painted_is_said_and_the_others_are():
    frame = noisy_frame(0)
    nowhere = Placed(1, np.full((5, 2), 50.0), STILL)
    (done,) = paint([frame], [[nowhere, person(130, 50, 70, 2)]])
    assert done.problems == ("landmarks that coincide",) and len(done.boxes) == 1
    assert not done.mask[:, :115].any()
    (alone,) = paint([frame], [[nowhere]])
    np.testing.assert_array_equal(alone.frame, frame)
    assert not alone.mask.any() and alone.boxes == ()
    (empty,) = paint([frame], [[person(20, 30)]], swapper=ColourSwapper(np.zeros((SIDE, SIDE), np.uint8)))
    assert empty.problems == ("nothing left of the mask",) and empty.boxes == ()
    np.testing.assert_array_equal(empty.frame, frame)
    assert drawn_mask().any()


@pytest.mark.parametrize(
    ("values", "says"), [({"erode": 0.7}, "erode"), ({"crf": 60}, "crf"), ({"mask": "oval"}, "mask"),
                         ({"erode": 0.3, "feather": 0.3}, "leaves nothing"), ({"smooth_s": float("nan")}, "smooth")],
)  # fmt: skip
def test_options_that_cannot_be_are_named(values, says):
    with pytest.raises(UsageError) as found:
        checked(RenderConfig, values, "--help")
    assert says in found.value.message.replace("-", "_")


@pytest.mark.parametrize(
    "base", [(1, 90_000), (1, 25), (1, 1000), (1001, 24_000), (1001, 30_000), (3, 100), (1, 12_800), (1, 10_000_000)]
)
def test_a_clock_has_every_time_of_the_streams(base):
    tick = Fraction(clip_source.ticks_of(base))
    assert all((Fraction(k * base[0], base[1]) * tick).denominator == 1 for k in range(1, 50))


@pytest.mark.parametrize("base", [None, (0, 25), (1, 1_000_000_000), (-1, 25), (1, 0)])
def test_a_clock_that_cannot_be_is_replaced(base):
    assert clip_source.ticks_of(base) == 90_000


def clip_of(indices: list[int], faces: list[tuple[int, ...]]) -> ClipFaces:
    def face(track: int) -> TrackedFace:
        points = landmarks_at(20, 30, 80).astype(np.float32)
        return TrackedFace(track, Face(np.array([20, 30, 100, 110], np.float32), points, 1.0))

    info = MediaInfo("video", "mp4", "h264", 240, 160)
    frames = tuple(
        FrameFaces(index, index / 25, False, tuple(map(face, tracks)))
        for index, tracks in zip(indices, faces, strict=True)
    )
    return ClipFaces(Path("clip.mp4"), "ab" * 32, info, DecodeSummary(len(frames), len(frames)), frames)


def test_faces_belong_to_the_frames_numbers_which_jump_behind_damage():
    clip = clip_of([0, 1, 4, 5, 6], [(1,), (1, 2), (1,), (), (1,)])
    placed, filled = placed_faces(clip, (1,), RenderConfig())
    assert {index: len(found) for index, found in placed.items()} == {0: 1, 1: 1, 4: 1, 5: 1, 6: 1}
    assert filled == {5}
    placed, filled = placed_faces(clip, (1, 2), RenderConfig())
    assert [face.track for face in placed[1]] == [1, 2]


# -- files of an output


def test_no_two_clips_share_a_file(tmp_path):
    names = ("swapped.mp4", "swapped.mkv", "swapped.mov", "swapped.m4v", "swapped.MP4", "swapped.png", "other.mp4")
    files = [path for name in names for path in files_of(tmp_path / name)]
    assert len(set(files)) == len(files)
    assert [path.name for path in files_of(Path("swapped.mp4"))] == [
        "swapped.mp4", "swapped.mask.mp4", "swapped.frames.json",
    ]  # fmt: skip
    assert beside(Path("a.mkv"), ".mask.mp4").name == "a.mkv.mask.mp4"


def test_an_output_that_cannot_be_is_said_beforehand(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "clip.mask.mp4").write_text("someone's")
    (tmp_path / "folder.mp4").mkdir()
    source = tmp_path / "source.mp4"
    source.write_text("s")
    cases = {
        tmp_path / "x.gif": "not written", tmp_path / "x": "has no suffix", tmp_path / "x.png": "not written",
        tmp_path / "file" / "x.mp4": "x.mp4 cannot be written", tmp_path / "clip.mp4": "exists",
        tmp_path / "folder.mp4": "is a folder", source: "would replace", tmp_path / ("x" * 250 + ".mp4"): "written|long",
        tmp_path / ("x" * 246 + ".mp4"): "long",
    }  # fmt: skip
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for output, says in cases.items():
        with pytest.raises(UsageError, match=says):
            check_output(output, overwrite=False, reads=[source])
    for output in (source, tmp_path / "folder.mp4"):
        with pytest.raises(UsageError):
            check_output(output, overwrite=True, reads=[source])
    # A mask over the clip that is read: x.mp4 from x.mask.mp4.
    with pytest.raises(UsageError, match="would replace"):
        check_output(tmp_path / "clip.mp4", overwrite=True, reads=[tmp_path / "clip.mask.mp4"])
    check_output(tmp_path / "clip.mp4", overwrite=True, reads=[source])
    check_output(tmp_path / "new" / "deep" / "x.mkv", overwrite=False)
    check_output(tmp_path / "x.png", overwrite=False, may_be_picture=True)
    (tmp_path / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError, match="no column"):
        check_output(tmp_path / "new.mp4", overwrite=True)
    assert before.items() <= {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}.items()
    assert not (tmp_path / "new").exists()


def test_what_the_file_system_says_becomes_a_line():
    with pytest.raises(UsageError, match=r"a\.mp4 cannot be written: No space left"), writing(Path("a.mp4")):
        raise OSError(28, "No space left on device")
    with pytest.raises(BrokenPipeError), writing(Path("a.mp4")):
        raise BrokenPipeError


def test_a_clip_is_made_only_where_all_of_it_is_as_it_was_said(tmp_path):
    output = tmp_path / "a.mp4"
    _, mask, frames = files_of(output)
    sha = "ef" * 32

    def write(content: bytes = b"clip", **changes) -> None:
        output.write_bytes(content)
        mask.write_bytes(b"mask")
        digest = sha256_of_file(output)
        frames.write_text(json.dumps({**identity_of(MAKING, sha, PLAIN), "sha256": digest, **changes}))
        note(output, mask, frames, digest, sha, MAKING)

    assert not is_made(output, MAKING, sha, PLAIN)
    write()
    assert is_made(output, MAKING, sha, PLAIN)
    assert not is_made(output, MAKING, sha, RenderConfig())
    assert not is_made(output, MAKING, "00" * 32, PLAIN)
    output.write_bytes(b"clip cut o")
    assert not is_made(output, MAKING, sha, PLAIN)
    # Stopped between the list of frames, already of the new options, and the clip.
    write(sha256="of the clip that never came")
    assert not is_made(output, MAKING, sha, PLAIN)
    write()
    mask.unlink()
    assert not is_made(output, MAKING, sha, PLAIN)
    for broken in ("[]", "[" * 100_000, "{", '{"sha256": 3}', "\udcff"):
        write()
        frames.write_bytes(broken.encode("utf-8", "surrogateescape"))
        assert not is_made(output, MAKING, sha, PLAIN)


def test_a_row_takes_the_place_of_its_own_and_leaves_the_others(tmp_path):
    (tmp_path / "manifest.csv").write_text("path,label,remark\nreal.mp4,0,by hand\n")
    for name, sha in (("a.mp4", "1"), ("b.mp4", "2"), ("a.mp4", "3")):
        path, mask, frames = files_of(tmp_path / name)
        note(path, mask, frames, sha, "0", MAKING)
    rows = read_manifest(tmp_path / "manifest.csv")
    assert [(row.path.name, row.label, row.extra["sha256"]) for row in rows] == [
        ("real.mp4", 0, ""), ("b.mp4", 1, "2"), ("a.mp4", 1, "3"),
    ]  # fmt: skip
    assert rows[0].extra["remark"] == "by hand"
    assert (rows[1].source, rows[1].identity, rows[1].mask, rows[1].extra["frames"]) == (
        "bea", "anna", "b.mask.mp4", "b.frames.json",
    )  # fmt: skip


def test_rows_that_are_written_at_a_time_are_all_kept_and_no_formula(tmp_path):
    making = replace(MAKING, source="=cmd()", target="@sum")
    with ThreadPoolExecutor(4) as pool:
        for k in range(12):
            path, mask, frames = files_of(tmp_path / f"{k}.mp4")
            pool.submit(note, path, mask, frames, str(k), "0", making)
    rows = read_manifest(tmp_path / "manifest.csv")
    assert {row.path.name for row in rows} == {f"{k}.mp4" for k in range(12)}
    assert {(row.identity, row.source, row.extra["target"]) for row in rows} == {("'=cmd()", "'@sum", "'@sum")}
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]


def test_a_lock_is_one_writers_and_gone_afterwards(tmp_path):
    lock = tmp_path / ".lock"
    with locked(lock), pytest.raises(BlockingIOError), locked(lock, wait=False):
        pass
    assert not lock.exists()
    with locked(lock, wait=False):
        assert lock.exists()


@pytest.mark.parametrize("breaks", [False, True])
def test_a_sound_that_ends_the_decoder_costs_only_itself(tmp_path, monkeypatch, breaks):
    silent = write_frames(tmp_path / "silent.mp4", [blank()] * 3)
    plain = clip_source.add_sound

    def hostile(video, source, *given):
        if source != video or breaks:
            raise MediaError("the decoder crashed on this file", "hostile")
        return plain(video, source, *given)

    monkeypatch.setattr(clip_source, "add_sound", hostile)
    job = (silent, tmp_path / "source.mp4", tmp_path / "out.mkv", {}, MediaLimits())
    if breaks:
        with pytest.raises(MediaError, match="crashed"):
            clip_source.with_sound(*job)
        return
    report = clip_source.with_sound(*job)
    assert report.codec is None and "crashed" in (report.left_out or "")
    assert len(frames_of(tmp_path / "out.mkv")) == 3


def test_a_clip_that_a_limit_cut_short_is_not_rendered(tmp_path):
    cut = replace(clip_of([0, 1], [(1,), (1,)]), cut_short=MediaError("took longer", "--timeout"))
    with pytest.raises(MediaError, match="took longer"):
        rendering.render(cut, [1], None, PLAIN, MAKING, tmp_path / "a.mp4", MediaLimits(), Progress(quiet=True))
    assert not list(tmp_path.iterdir())


def test_the_mask_option_is_no_part_of_a_warp():
    assert "mask" not in identity_of(replace(MAKING, unused=frozenset({"mask"})), "0", PLAIN)["options"]


def test_a_png_carries_its_tags_and_its_pixels(tmp_path):
    picture = noisy_frame(3)
    tags = synthetic_tags("the face of Zoë Müller 李 in another picture")
    (tmp_path / "a.png").write_bytes(tagged_png(encoded(picture), tags))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert {name.lower(): value for name, value in image.text.items()} == tags
        np.testing.assert_array_equal(np.array(image), picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[:, :, ::-1], picture)
    with pytest.raises(ValueError, match="not a PNG"):
        tagged_png(b"GIF89a", tags)


def test_what_is_drawn_here_has_its_eyes_where_the_detector_says():
    frame = blank()
    draw_face(frame, 20, 30, 80, RED)
    x, y = landmarks_at(20, 30, 80)[0].round().astype(int)
    assert tuple(frame[y, x]) == tuple(c // 3 for c in RED)
