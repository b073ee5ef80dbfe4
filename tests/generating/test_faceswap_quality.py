"""`forensics generate faceswap quality`: swaps whose likeness, identity, landmarks and flicker the test decides."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from forensics.cli import cli
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item, write_manifest
from forensics.common.progress import Progress
from forensics.faces.types import Face
from generators.checkpoint import write_checkpoint
from generators.faceswap import measures
from generators.faceswap.alignment import TEMPLATE
from generators.faceswap.config import SwapConfig
from generators.faceswap.extraction.faceset import (
    ClipRow,
    FaceRow,
    FaceSetRecord,
    file_name,
    read_face_set,
    splits,
    write_record,
)
from generators.faceswap.measures import time_blocks
from generators.faceswap.quality import quality as quality_module
from generators.faceswap.quality.clip_quality import measure_clips
from generators.faceswap.quality.face_quality import (
    Person,
    identities_of,
    landmark_parts,
    landmarks_in,
    measure_swap,
    noisy,
    person_of,
    spread_over,
    worn,
)
from generators.faceswap.quality.identity import unit
from generators.faceswap.quality.quality_record import (
    SwapQuality,
    SwapQualityConfig,
    _clip_rows,
    identity_note,
    markdown,
    table_rows,
)
from generators.faceswap.rendering import outputs
from generators.faceswap.rendering.outputs import swapped_share
from generators.faceswap.training.game import NETWORK
from generators.faceswap.training.networks import SwapNetwork
from generators.faceswap.training.run_record import SetRecord, SwapRun, write_swap_run
from generators.pictures import write_png

QUIET = Progress(quiet=True)
RED, BLUE = (170, 60, 60), (60, 60, 170)
FPS = 10
# Radius of the white dot in the middle of a drawn face that is aligned: it says where the face is, and how large.
DOT_PX = 16


def draw_face(picture, centre, scale, colour, level=0):
    """A disc with a white dot."""
    at = tuple(round(float(v) * 16) for v in centre)
    cv2.circle(picture, at, round(110 * scale * 16), tuple(v + level for v in colour), -1, cv2.LINE_AA, 4)
    cv2.circle(picture, at, round(DOT_PX * scale * 16), (255, 255, 255), -1, cv2.LINE_AA, 4)
    return picture


class DotDetector:
    """Finds the white dot of a drawn face; landmarks as the template has them around it."""

    name, min_confidence = "dot", 0.9

    def detect(self, frames):
        return [self._faces(frame) for frame in frames]

    def refine(self, frames, boxes):
        return None

    def _faces(self, frame):
        y, x = np.nonzero(frame.min(2) > 215)
        if len(x) < 20:
            return []
        centre, scale = np.array([x.mean(), y.mean()]), np.sqrt(len(x) / np.pi) / DOT_PX
        landmarks = (centre + (TEMPLATE - 128) * scale).astype(np.float32)
        box = np.concatenate([centre - 110 * scale, centre + 110 * scale]).astype(np.float32)
        return [Face(box, landmarks, 0.99)]


class Colours:
    """An embedding of which of two colours a face has in its middle."""

    name = "colours"

    def embed(self, pictures):
        return unit(pictures[:, 90:110, 90:110].mean((1, 2)).astype(np.float32))


class Painter:
    """Paints faces in the colour of `to`; the other way of a network that draws them well."""

    image_px = 64

    def __init__(self, moved_px=0.0, strength=1.0):
        self.moved_px, self.strength = moved_px, strength

    def swap(self, faces, to):
        colour = {"source": RED, "target": BLUE}[to]
        drawn = np.stack([draw_face(face.copy(), (128 + self.moved_px, 128), 1, colour) for face in faces])
        return drawn, np.full(faces.shape[:3], self.strength, np.float32)


class Nothing:
    """Gives the input back."""

    image_px = 64

    def swap(self, faces, to):
        return faces.copy(), np.ones(faces.shape[:3], np.float32)


def faces_of(colour, n, seed=0):
    """Aligned faces that differ a little in brightness, on a noisy ground."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 90, (n, 256, 256, 3), dtype=np.uint8)
    return np.stack([draw_face(g, (128, 128), 1, colour, int(rng.integers(-15, 15))) for g in ground])


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(measures, "RESAMPLES", 50)


def person(colour, n=12, seed=0):
    return Person(faces_of(colour, n, seed), faces_of(colour, n, seed + 1), time_blocks(np.arange(n) / FPS))


@pytest.fixture(scope="module")
def people():
    return person(RED, seed=1), person(BLUE, seed=5)


@pytest.fixture(scope="module")
def identities(people):
    return identities_of(Colours(), people[0].train, people[1].train)


def measured(swaps, people, identities=None, **options):
    return measure_swap(swaps, people[0], people[1], identities, DotDetector(), 0, QUIET, **options)


# -- figures of faces


def test_a_swap_that_changes_nothing_is_found_out(people, identities):
    found = measured(Nothing(), people, identities)
    for part in found.reconstruction:
        assert (part.ssim.value, part.psnr.value, part.ssim_full.value) == pytest.approx((1, 100, 1))
        assert part.ssim_floor.value < 0.99
        assert part.psnr_full_ceiling.value < 40
    by_name = {part.faces: part.share_source.value for part in found.identity}
    assert by_name == {"swapped": 0, "target unchanged": 0, "target reconstructed": 0, "source unchanged": 1}
    assert "does not carry the source's identity" in identity_note(found.identity, "faces")
    swapped, control = found.landmarks
    assert (swapped.median.value, swapped.p95.value, swapped.found.value) == (0, 0, 1)
    assert 0 < control.median.value < 0.05


def test_a_swap_takes_the_sources_identity_and_leaves_landmarks(people, identities):
    found = measured(Painter(), people, identities)
    by_name = {part.faces: part for part in found.identity}
    assert by_name["swapped"].share_source.value == 1
    assert by_name["swapped"].share_source.n == 12
    assert by_name["swapped"].to_source.value > 0.99 > by_name["swapped"].to_target.value
    assert by_name["target reconstructed"].share_source.value == 0
    assert "fewer than" not in identity_note(found.identity, "faces")
    assert found.reconstruction[0].person == "source"
    assert all(part.ssim.value > 0.9 for part in found.reconstruction)


def test_landmarks_that_move_or_are_lost_are_measured(people):
    faces, blocks = people[1].held_out, people[1].blocks
    driving = landmarks_in(faces, DotDetector())
    assert driving == pytest.approx(np.repeat(TEMPLATE[None], len(faces), 0), abs=1.0)
    moved = landmarks_in(worn(Painter(moved_px=7), faces, "source"), DotDetector())
    lost = landmarks_in(np.zeros_like(faces), DotDetector())
    assert np.isnan(lost).all()
    # The eyes are 70 px apart.
    part = landmark_parts(driving, moved, driving, blocks, 0)[0]
    assert part.median.value == pytest.approx(0.1, abs=0.01)
    assert part.p95.value == pytest.approx(0.1, abs=0.02)
    swapped, control = landmark_parts(driving, lost, driving, blocks, 0)
    assert (swapped.found.value, swapped.median.value, swapped.median.n) == (0, None, 0)
    assert (control.found.value, control.median.value) == (1, 0)
    lost[1:] = driving[1:]
    assert landmark_parts(lost, driving, driving, blocks, 0)[0].found.n == len(faces) - 1


def test_reversed_the_other_decoder_draws(people):
    source, target = people
    swapped = identities_of(Colours(), target.train, source.train)
    found = measured(Painter(), (target, source), swapped, is_reversed=True)
    assert {part.faces: part.share_source.value for part in found.identity}["swapped"] == 1
    assert all(part.ssim.value > 0.9 for part in found.reconstruction)


def test_a_face_is_worn_by_its_mask(people):
    faces = people[1].held_out[:2]
    assert np.array_equal(worn(Painter(strength=0.0), faces, "source"), faces)
    half = worn(Painter(strength=0.5), faces, "source").astype(int)
    assert np.abs(2 * half - worn(Painter(), faces, "source") - faces.astype(int)).max() <= 1


def test_noise_repeats_and_choices_are_spread():
    faces = faces_of(RED, 2)
    assert np.array_equal(noisy(faces, 1), noisy(faces, 1))
    assert not np.array_equal(noisy(faces, 1), noisy(faces, 1, 1))
    assert spread_over(range(10), 4) == [0, 3, 6, 9]
    assert spread_over(range(3), 4) == [0, 1, 2]


# -- a run


def write_set(folder, colour, sha, n=30, seed=0):
    """A set of a clip of three seconds (or of n frames)."""
    rows, times = [], [k / FPS for k in range(n)]
    for k, (face, split) in enumerate(zip(faces_of(colour, n, seed), splits(times, n / FPS), strict=True)):
        name = file_name(sha, k, 1)
        write_png(folder / name, face)
        row = {"clip": sha, "frame": k, "timestamp_s": times[k], "track": 1, "box": (18, 18, 238, 238), "confidence": 0.99,
               "landmarks": TEMPLATE.tolist(), "yaw_deg": 0, "roll_deg": 0, "sharpness": 1, "file": name, "left_out": None,
               "split": split}  # fmt: skip
        rows.append(FaceRow.model_validate(row))
    clip = {"name": "drawn.mp4", "sha256": sha, "width": 256, "height": 256, "frames": n, "duration_s": n / FPS,
            "mean_fps": FPS, "is_complete": True, "errors": (), "options": {}, "detector": "dot", "version": "0",
            "tracks": ()}  # fmt: skip
    write_record(folder, FaceSetRecord(clips=(ClipRow.model_validate(clip),), faces=tuple(rows)))
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return write_set(folder / "a", RED, "a" * 64), write_set(folder / "b", BLUE, "b" * 64, seed=9)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    config = SwapConfig(image_px=64, width=8, latent=16)
    path = tmp_path_factory.mktemp("run") / "swap.safetensors"
    tensors = {NETWORK + name: value for name, value in SwapNetwork(config).state_dict().items()}
    meta = {"system": "faceswap", "config": config.model_dump(mode="json"), "step": 0}
    write_checkpoint(path, tensors, meta)
    return path


@pytest.fixture
def dots(monkeypatch):
    monkeypatch.setattr(quality_module, "load_face_detector", lambda **options: DotDetector())
    monkeypatch.setattr(quality_module, "embedder_named", lambda name: None if name == "none" else Colours())


def quality(checkpoint, sets, output, *more):
    paths = ["--source", str(sets[0]), "--target", str(sets[1]), "--output", str(output), "--threads", "1"]
    words = ["generate", "faceswap", "quality", str(checkpoint), *paths, "--device", "cpu", "--quiet", *more]
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_an_untrained_network_is_measured_and_said_to_be_none(checkpoint, sets, dots, tmp_path):
    done = quality(checkpoint, sets, tmp_path / "q")
    assert done.exit_code == 0, done.output
    written = SwapQuality.model_validate_json((tmp_path / "q" / "quality.json").read_bytes())
    assert written.reconstruction[0].ssim.value < written.reconstruction[0].ssim_full_ceiling.value
    assert written.identity[0].share_source.n == 10  # the third second
    assert (written.source, written.target, written.embedding) == ("a", "b", "colours")
    assert written.model_sha256
    assert any("held out: 1 s" in note for note in written.notes)
    assert any("not known: the checkpoint does not say" in note for note in written.notes)
    for _, value, *_ in table_rows(written):
        assert value in done.output
    table = (tmp_path / "q" / "quality.md").read_text()
    assert table.count("\n| ") == 1 + len(table_rows(written))
    first = (tmp_path / "q" / "quality.json").read_bytes()
    again = quality(checkpoint, sets, tmp_path / "q", "--format", "json")
    assert json.loads(again.output) == json.loads(first)
    assert (tmp_path / "q" / "quality.json").read_bytes() == first


def test_identity_that_is_not_measured_is_said_so(checkpoint, sets, dots, tmp_path):
    written = json.loads(quality(checkpoint, sets, tmp_path, "--identity", "none", "--format", "json").output)
    assert written["embedding"] is None
    assert written["identity"] == []
    assert any("identity not measured" in note for note in written["notes"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--clip", "x.mp4"], "belong together"),
        (["--faces", "3"], "option 'faces'"),
        (["--source", "absent"], "holds no alignments.json"),
    ],
)
def test_wrong_options_are_named(checkpoint, sets, dots, tmp_path, more, says):
    with pytest.raises((UsageError, ManifestError), match=says):
        quality(checkpoint, sets, tmp_path, *more)


def test_a_checkpoint_alone_needs_its_sets_and_a_folder(checkpoint, sets, dots, tmp_path):
    config = SwapQualityConfig(device="cpu", quiet=True)
    with pytest.raises(UsageError, match="not the folder of a run"):
        quality_module.measure_run(str(checkpoint), config, QUIET)
    with pytest.raises(UsageError, match="which faces are the source's"):
        quality_module.measure_run(str(checkpoint), config.model_copy(update={"output": tmp_path}), QUIET)


def test_a_run_names_its_sets_and_others_are_noted(sets, tmp_path):
    records = {
        who: SetRecord(folder=str(folder), clips=(), faces=20, held_out=10, sha256=read_face_set(folder).sha256)
        for who, folder in zip(("source", "target"), sets, strict=True)
    }
    about = {
        "preset": "cpu",
        "config": SwapConfig(),
        "precision": "float32",
        "processes": 1,
        "device": "cpu",
        "versions": {},
    }
    write_swap_run(tmp_path, SwapRun.model_validate({**about, **records}))
    stored = quality_module._record_of(tmp_path)
    config = SwapQualityConfig()
    assert [quality_module._folder(who, config, stored) for who in ("source", "target")] == list(sets)
    assert quality_module._folder("target", SwapQualityConfig(target=sets[0]), stored) == sets[0]
    trained_on = {who: read_face_set(Path(record.folder)) for who, record in records.items()}
    assert list(quality_module._set_notes(trained_on, quality_module._fingerprints({}, stored))) == []
    people = {who: {"sha256": record.sha256} for who, record in records.items()}
    of_file = quality_module._fingerprints({"people": people}, None)  # a checkpoint that was handed on
    assert list(quality_module._set_notes(trained_on, of_file)) == []
    assert quality_module._fingerprints({"people": [1]}, None) == {}
    notes = list(quality_module._set_notes({**trained_on, "target": trained_on["source"]}, of_file))
    assert len(notes) == 1
    assert "the target's set is not the one" in notes[0]


def test_a_set_without_held_out_faces_is_an_error(tmp_path):
    folder = write_set(tmp_path / "short", RED, "c" * 64, n=4)
    with pytest.raises(UsageError, match="0 held out"):
        person_of(read_face_set(folder), 300, "source")


def test_names_are_not_markdown():
    found = SwapQuality(
        versions={}, model="a|b<script>", model_sha256="", image_px=64, device="cpu", seed=0, is_reversed=False,
        source="s", source_sha256="", target="t", target_sha256="", embedding=None, landmark_detector="dot",
        reconstruction=(), identity=(), landmarks=(), notes=(),
    )  # fmt: skip
    assert "a\\|b&lt;script>" in markdown(found)


# -- clips

CLIP_FRAMES = 60


def frames_of(colour, flicker=0):
    """A face that moves to the right and changes slowly in brightness; `flicker` is added to every second frame."""
    frames = []
    for k in range(CLIP_FRAMES):
        ground = np.full((160, 240, 3), 70, np.uint8)
        level = k // 2 % 2 * 6 + (k % 2) * flicker
        frames.append(draw_face(ground, (90 + 1.5 * k, 80), 0.5, colour, level))
    return frames


@pytest.fixture(scope="module")
def clips(tmp_path_factory, clip_writer):
    folder = tmp_path_factory.mktemp("clips")
    kinds = {"driving": (BLUE, 0), "same": (BLUE, 0), "swapped": (RED, 0), "flickers": (RED, 12)}
    paths = {name: clip_writer(folder / f"{name}.mp4", frames_of(*how), fps=FPS) for name, how in kinds.items()}
    paths["short"] = clip_writer(folder / "short.mp4", frames_of(RED)[:-1], fps=FPS)
    paths["slow"] = clip_writer(folder / "slow.mp4", frames_of(RED), fps=FPS - 2)
    paths["small"] = clip_writer(folder / "small.mp4", [f[:128, :192] for f in frames_of(RED)], fps=FPS)
    paths["empty"] = clip_writer(folder / "empty.mp4", [np.full((160, 240, 3), 70, np.uint8)] * 5, fps=FPS)
    return paths


def test_a_clip_against_itself_is_as_still_and_as_it_was(clips, identities):
    found = measure_clips(clips["driving"], clips["same"], DotDetector(), QUIET, identities=identities)
    assert found.flicker.value == pytest.approx(1)
    assert found.flicker.n == CLIP_FRAMES - 1
    assert (found.frames, found.frames_with_face, found.swapped) == (CLIP_FRAMES, CLIP_FRAMES, None)
    assert found.landmarks[0].median.value == 0
    assert [part.share_source.value for part in found.identity] == [0, 0]


def test_a_clip_that_flickers_says_so(clips, identities):
    found = measure_clips(clips["driving"], clips["flickers"], DotDetector(), QUIET, identities=identities, limit=7)
    # Steps of 12 in every frame, against steps of 6 in every second one.
    assert 1.5 < found.flicker.low < found.flicker.value < found.flicker.high < 5
    assert found.identity[0].share_source.n == 7


def test_identity_is_told_by_frames_that_were_held_out(clips, identities, tmp_path):
    from forensics.common.files import sha256_of_file

    target = read_face_set(write_set(tmp_path / "b", BLUE, sha256_of_file(clips["driving"]), n=CLIP_FRAMES))
    found = measure_clips(
        clips["driving"], clips["swapped"], DotDetector(), QUIET, identities=identities, target=target
    )
    assert found.identity[0].share_source.n == 10
    assert [part.share_source.value for part in found.identity] == [1, 0]
    assert [part.faces for part in found.identity] == ["swapped", "target unchanged"]
    assert found.landmarks[0].median.value < 0.02
    assert found.identity_frames == "held_out"
    notes = [note for note in quality_module._clip_notes(found, True) if note]
    assert any("of all its frames" in note and "flicker has no control" in note for note in notes)
    assert any("swapped held-out frames of the clip" in note for note in notes)
    other = read_face_set(write_set(tmp_path / "c", BLUE, "c" * 64))
    found = measure_clips(clips["driving"], clips["swapped"], DotDetector(), QUIET, identities=identities, target=other)
    assert found.identity_frames == "not_in_set"
    words = "frames of a clip that is not in the set (whether it was cut from one that is, is not known)"
    assert any(words in note for note in quality_module._clip_notes(found, True) if note)
    of = {row[0]: row[3] for row in _clip_rows(found)}
    assert of["identity in the clip, swapped"].startswith("frames of a clip not in the set")
    assert of["landmarks in the clip, swapped"].startswith("all frames")
    nothing = found.model_copy(update={"identity": (), "identity_frames": "held_out"})
    assert any("no held-out frame" in note for note in quality_module._clip_notes(nothing, True) if note)


@pytest.mark.parametrize(("name", "says"), [("short", "number of frames"), ("slow", "is at"), ("small", "pixels")])
def test_clips_that_do_not_belong_together_are_refused(clips, name, says):
    with pytest.raises(UsageError, match=says):
        measure_clips(clips["driving"], clips[name], DotDetector(), QUIET)


def test_a_clip_without_a_face_or_without_that_track_is_refused(clips):
    with pytest.raises(UsageError, match="shows no face"):
        measure_clips(clips["empty"], clips["empty"], DotDetector(), QUIET)
    with pytest.raises(UsageError, match="no track 4"):
        measure_clips(clips["driving"], clips["same"], DotDetector(), QUIET, track=4)


def test_the_share_of_frames_is_the_manifests(tmp_path):
    clip = tmp_path / "swapped.mp4"

    def share(text, name="swapped.frames.json"):
        (tmp_path / "swapped.frames.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        write_manifest(tmp_path / "manifest.csv", [Item(path=clip, label=1, extra={"frames": name})])
        return swapped_share(clip, 4)

    def listed(boxes, **changes):
        rows = [{"t": k / 25, "boxes": found, "filled": False} for k, found in enumerate(boxes)]
        swapped = sum(map(bool, boxes))
        whole = {
            "format": "forensics-swap-frames-1",
            "swapped": swapped,
            "total": len(boxes),
            "frames": rows,
            "more": 1,
        }
        return json.dumps(whole | changes)

    box = [1, 2, 3, 4]
    assert swapped_share(clip, 4) is None
    assert share(listed([[box], [], [box, box], [box]])) == 0.75
    assert share(listed([[]] * 4)) == 0
    assert share(listed([[box]] * 4), name="") is None
    good = listed([[box]] * 4)
    for wrong in (
        "[1, 2", "7", "[" * 10_000, good.encode() + b"\xff", listed([[box]] * 5), listed([[box[:3]]] * 4),
        listed([[box]] * 4, swapped=3), listed([[box]] * 4, format="other"),
        listed([[box]] * 4, frames=[{"t": float("inf"), "boxes": []}] * 4),
    ):  # fmt: skip
        with pytest.raises(ManifestError, match="frames"):
            share(wrong)
    assert swapped_share(tmp_path / "another.mp4", 4) is None


def test_the_list_of_frames_is_read_in_its_own_folder_alone_and_not_without_end(tmp_path, monkeypatch):
    folder, clip = tmp_path / "in", tmp_path / "in" / "swapped.mp4"
    folder.mkdir()
    (tmp_path / "frames.json").write_text("{}")
    (folder / "link.json").symlink_to(tmp_path / "frames.json")
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "sub.json").mkdir()
    (folder / "long.json").write_text(" " * 1001)
    monkeypatch.setattr(outputs, "MAX_FRAMES_BYTES", 1000)
    for name, says in {
        "../frames.json": "elsewhere", str(tmp_path / "frames.json"): "elsewhere", "link.json": "elsewhere",
        "loop.json": "cannot read", "sub.json": "no regular file", "missing.json": "cannot read", "long.json": "larger",
        "a\0b": "cannot read",
    }.items():  # fmt: skip
        write_manifest(folder / "manifest.csv", [Item(path=clip, label=1, extra={"frames": name})])
        with pytest.raises(ManifestError, match=says):
            swapped_share(clip, 4)


def test_results_that_are_not_ours_are_left_alone_before_anything_is_measured(
    checkpoint, sets, dots, tmp_path, monkeypatch
):
    def never(*args):
        raise AssertionError("measured")

    monkeypatch.setattr(quality_module, "measure_swap", never)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write into"):
        quality(checkpoint, sets, tmp_path / "file")
    (tmp_path / "q").mkdir()
    for content in ('{"mine": 1}', "[1]", "no JSON"):
        (tmp_path / "q" / "quality.json").write_text(content)
        with pytest.raises(UsageError, match="of something else"):
            quality(checkpoint, sets, tmp_path / "q")
    (tmp_path / "q" / "quality.json").write_text('{"format": "forensics-swap-quality-1"}')
    with pytest.raises(AssertionError, match="measured"):
        quality(checkpoint, sets, tmp_path / "q")
