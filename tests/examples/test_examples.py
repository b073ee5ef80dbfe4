"""The committed example clips are the pair that their manifest says, and the script that made them repeats itself."""

import importlib.util
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest

from forensics.common.manifest import read_manifest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
SELFTEST = REPOSITORY / "forensics" / "weights" / "selftest.jpg"
MAX_CLIPS_BYTES = 3_000_000
MAX_SELFTEST_BYTES = 25_000
SAMPLED = (0, 50, 99)
# Dilation of the hull by more than one H.264 macroblock (16 pixels): beyond it the encoder sees equal pictures.
FAR_PX = 32
# A weight below this changes no pixel: 255 / 512 is under half a level.
NO_WEIGHT = 1 / 512


def decode(name: str) -> tuple[list[np.ndarray], dict[str, str]]:
    with av.open(str(EXAMPLES / name)) as container:
        metadata = dict(container.metadata)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], metadata


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[list[np.ndarray], dict[str, str]]]:
    return {name: decode(name) for name in ("real.mp4", "fake.mp4")}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("skimage", reason="the script takes its picture from scikit-image")
    spec = importlib.util.spec_from_file_location("make_examples", EXAMPLES / "make_examples.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def picture(script: ModuleType) -> np.ndarray:
    return script.astronaut()


def face_region(script: ModuleType, index: int) -> np.ndarray:
    """Where the altered face was pasted into frame `index`: (H, W) bool, from the mask itself."""
    matrix = script.square_matrix(script.frame_landmarks(index))
    size = (script.SIZE_PX, script.SIZE_PX)
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    return cv2.warpAffine(script.blending_mask(), matrix, size, flags=flags) > NO_WEIGHT


def test_committed_files_are_small() -> None:
    assert 0 < sum((EXAMPLES / name).stat().st_size for name in ("real.mp4", "fake.mp4")) < MAX_CLIPS_BYTES
    assert SELFTEST.stat().st_size < MAX_SELFTEST_BYTES


def test_clips_have_the_same_frames_and_size(clips: dict) -> None:
    real, fake = clips["real.mp4"][0], clips["fake.mp4"][0]
    assert len(real) == len(fake) == 100
    assert {frame.shape for frame in (*real, *fake)} == {(512, 512, 3)}


def test_containers_say_that_the_clips_are_synthetic(clips: dict) -> None:
    for name, word in (("real.mp4", "untouched"), ("fake.mp4", "blended")):
        metadata = clips[name][1]
        assert word in metadata["title"]
        assert "Synthetic" in metadata["comment"]
        assert "public-domain" in metadata["comment"]


def test_clips_differ_in_the_face_only(clips: dict, script: ModuleType) -> None:
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * FAR_PX + 1, 2 * FAR_PX + 1))
    for index in SAMPLED:
        real, fake = (clips[name][0][index].astype(np.float32) for name in ("real.mp4", "fake.mp4"))
        difference = np.abs(real - fake).mean(-1)
        region = face_region(script, index)
        far = cv2.dilate(region.astype(np.uint8), reach) == 0
        assert difference[region].mean() > 8.0
        # Far from the face only the encoder's choices differ, by a level or two.
        assert difference[far].mean() < 2.5
        assert difference[region].mean() > 5.0 * difference[far].mean()


def test_manifest_labels_the_clips() -> None:
    items = {item.path.name: item for item in read_manifest(EXAMPLES / "manifest.csv")}
    assert {name: item.label for name, item in items.items()} == {"real.mp4": 0, "fake.mp4": 1}
    assert all(item.path.is_file() for item in items.values())
    assert {(item.dataset, item.view, item.split) for item in items.values()} == {("examples", "scene", "")}
    # One recording lies under both, so a split by source must not part them.
    assert len({item.source for item in items.values()}) == 1


def test_frames_repeat(script: ModuleType, picture: np.ndarray) -> None:
    for index in SAMPLED:
        first, second = (script.fake_frame(picture, index, script.blending_mask()) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(script.real_frame(picture, index), script.real_frame(picture, index))


def test_fake_frame_is_the_real_frame_outside_the_mask(script: ModuleType, picture: np.ndarray) -> None:
    mask = script.blending_mask()
    assert mask.min() == 0.0 and mask.max() > 0.99
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.01, "the square cuts the hull"
    real, fake = script.real_frame(picture, 50), script.fake_frame(picture, 50, mask)
    changed = (real != fake).any(-1)
    assert changed.mean() > 0.03
    assert not changed[~face_region(script, 50)].any()


def test_no_view_leaves_the_picture(script: ModuleType, picture: np.ndarray) -> None:
    corners = np.array([[0.0, 0], [511, 0], [0, 511], [511, 511]])
    for index in range(script.FRAME_COUNT):
        matrix = script.camera_matrix(index)
        seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        assert seen.min() >= 0
        assert seen.max() <= min(picture.shape[:2]) - 1


def test_committed_clip_is_what_the_script_draws(clips: dict, script: ModuleType, picture: np.ndarray) -> None:
    """Clips that lag behind the script fail here: one clip taken for the other would be 9 levels off."""
    mask = script.blending_mask()
    for index in SAMPLED:
        region = face_region(script, index)
        drawn = {
            "real.mp4": script.real_frame(picture, index),
            "fake.mp4": script.fake_frame(picture, index, mask),
        }
        for name, frame in drawn.items():
            # Local means: the encoder keeps them, and drops part of the noise and of the colour's detail.
            difference = clips[name][0][index].astype(np.float32) - frame
            assert np.abs(cv2.GaussianBlur(difference, (0, 0), 3.0))[region].mean() < 2.5


def test_clip_bytes_repeat(script: ModuleType, picture: np.ndarray, tmp_path: Path) -> None:
    frames = [script.real_frame(picture, index) for index in range(4)]
    for name in ("a.mp4", "b.mp4"):
        script.encode_clip(tmp_path / name, frames, "title")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_selftest_picture_is_the_head_of_the_portrait(script: ModuleType, picture: np.ndarray, tmp_path: Path) -> None:
    shipped = cv2.imread(str(SELFTEST))[..., ::-1].astype(np.float32)
    assert shipped.shape == (256, 256, 3)
    assert np.abs(shipped - picture[:256, 96:352]).mean() < 3.0
    script.make_selftest(tmp_path / "selftest.jpg")
    assert (tmp_path / "selftest.jpg").stat().st_size < MAX_SELFTEST_BYTES
