"""Two short clips to try the tool on: a real recording of a portrait, and the same recording with a blended face.

Both show NASA's public-domain portrait of Eileen Collins (scikit-image ships it) under one simulated hand-held camera:
`real.mp4` is the untouched picture, `fake.mp4` has the face of every frame replaced by an altered copy of itself, a
self-blended image. The altered copy takes the way of a face swap: it is aligned into a small square, softened by that,
shifted in colour and place, given a moving mouth, and pasted back through a feathered, elastically deformed hull.

Shiohara, Yamasaki: Detecting Deepfakes with Self-Blended Images (CVPR 2022), arXiv 2204.08376, section 3.2.
Limits: one picture and one method. The clips show what a report looks like; they measure nothing. Bytes repeat with the
same releases of numpy, OpenCV and PyAV; with others the bytes may differ.
"""

import argparse
import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

Frame = NDArray[np.uint8]

SEED = 20220408
SIZE_PX = 512  # frames are square, as the picture is
FRAME_RATE = 25
FRAME_COUNT = 100  # four seconds: long enough for a track, short enough to commit

# x264's constant quality; its default is 23. A lower value keeps more of the sensor's noise, which blending disturbs.
CRF = 18

# Eyes, nose, mouth corners in the 512 x 512 picture, (x, y) in pixels; left as seen. Measured once with MTCNN
# (facenet-pytorch, confidence 0.9999) and written down, so that making the clips needs no detector.
LANDMARKS = np.array([[204.6, 100.5], [247.2, 103.5], [224.2, 129.0], [201.3, 140.7], [243.8, 142.8]])

# The camera: centre in the picture and zoom, at the first and the last frame. No view leaves the picture.
CENTRES = np.array([[259.0, 222.0], [246.0, 207.0]])
ZOOMS = (1.2, 1.32)
# A steady hand: about a pixel and a fifth of a degree, between 0.3 and 1.1 Hz.
TREMOR_PX = 1.1
TREMOR_RAD = 0.0035
EXPOSURE_DRIFT = 0.025
NOISE_LEVELS = 1.8  # standard deviation, of 255: a small sensor in good light

# The aligned square, where the face is altered. Models that swap faces work in 128 pixels; the face loses detail by it.
SQUARE_PX = 128
EYE_DISTANCE = 0.32 * SQUARE_PX
EYE_MIDDLE = np.array([0.50, 0.37]) * SQUARE_PX
# Outline of the inner face around the point between the eyes, in eye distances: brows, temples, cheeks, jaw, chin.
OUTLINE = np.array(
    [
        *([-0.85, -0.38], [-0.40, -0.46], [0.40, -0.46], [0.85, -0.38], [0.98, 0.05], [0.92, 0.70]),
        *([0.68, 1.28], [0.30, 1.64], [-0.30, 1.64], [-0.68, 1.28], [-0.92, 0.70], [-0.98, 0.05]),
    ]
)
FEATHER_PX = 3.0
# Smooth random displacement of the hull's edge (Simard et al. 2003): reach and scale, in pixels of the square.
ELASTIC_PX, ELASTIC_SIGMA_PX = 4.0, 12.0

# The alteration: gains in R, G, B; contrast; blur; scale and shift against the face beneath.
COLOUR_GAINS = np.array([1.05, 0.98, 0.90], np.float32)
CONTRAST = 0.92
BLUR_PX = 0.5
SOURCE_SCALE = 1.04
SOURCE_SHIFT_PX = np.array([1.5, -1.5])
# Landmarks of a detector jitter from frame to frame, and the pasted face with them.
JITTER_PX = 0.25
# At most, an eighth of an eye distance: the teeth stay closed in the picture, so the lip cannot go far.
MOUTH_OPENING_PX = 5.0

LICENCE_NOTE = (
    "Synthetic clip made by examples/make_examples.py of Deepfake Forensics from NASA's public-domain portrait of "
    "Eileen Collins (scikit-image: data.astronaut)."
)
REAL_TITLE = "Example: camera move over a portrait, face untouched"
FAKE_TITLE = "Example: camera move over a portrait, face blended"

# Left and top of the 256 x 256 pixels with head and shoulders, copied without resampling.
SELFTEST_LEFT_TOP_PX = (96, 0)
SELFTEST_PX = 256
SELFTEST_JPEG_QUALITY = 92

MANIFEST_ROWS = (
    ("path", "label", "generator", "dataset", "source", "identity", "split", "view"),
    ("real.mp4", "0", "", "examples", "astronaut", "eileen_collins", "", "scene"),
    ("fake.mp4", "1", "self_blended", "examples", "astronaut", "eileen_collins", "", "scene"),
)


def camera_matrix(index: int) -> NDArray[np.float64]:
    """The (2, 3) similarity that takes points of the picture to points of frame `index`, in sub-pixels."""
    progress = index / (FRAME_COUNT - 1)
    eased = progress * progress * (3 - 2 * progress)
    zoom = ZOOMS[0] + (ZOOMS[1] - ZOOMS[0]) * eased
    seconds = index / FRAME_RATE
    # Incommensurate frequencies, so that the hand never repeats itself within the clip.
    waves = np.sin(2 * np.pi * np.array([0.47, 0.31, 0.37]) * seconds + [0.3, 1.9, 4.0])
    waves = 0.7 * waves + 0.3 * np.sin(2 * np.pi * np.array([1.09, 0.97, 0.83]) * seconds + [2.2, 0.4, 1.1])
    centre = CENTRES[0] + (CENTRES[1] - CENTRES[0]) * eased + TREMOR_PX * waves[:2]
    angle = TREMOR_RAD * waves[2]
    rotation = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([rotation, SIZE_PX / 2 - rotation @ centre])


def frame_landmarks(index: int) -> NDArray[np.float64]:
    """The five landmarks in frame `index`: (5, 2), pixels."""
    matrix = camera_matrix(index)
    return LANDMARKS @ matrix[:, :2].T + matrix[:, 2]


def real_frame(picture: Frame, index: int) -> Frame:
    """Frame `index` of the untouched clip: (SIZE_PX, SIZE_PX, 3) uint8 from the (512, 512, 3) picture."""
    size = (SIZE_PX, SIZE_PX)
    seen = cv2.warpAffine(picture.astype(np.float32), camera_matrix(index), size, flags=cv2.INTER_CUBIC)
    exposure = 1 + EXPOSURE_DRIFT * np.sin(2 * np.pi * 0.21 * index / FRAME_RATE)
    noise = np.random.default_rng((SEED, 0, index)).normal(0.0, NOISE_LEVELS, seen.shape)
    return _as_bytes(seen * exposure + noise)


def fake_frame(picture: Frame, index: int, mask: NDArray[np.float32]) -> Frame:
    """The same frame with its face replaced by an altered copy; `mask` is what `blending_mask` returns."""
    frame = real_frame(picture, index)
    to_square = square_matrix(frame_landmarks(index))
    face = cv2.warpAffine(frame.astype(np.float32), to_square, (SQUARE_PX, SQUARE_PX), flags=cv2.INTER_LINEAR)
    layers = np.dstack([alter_face(face, index), mask])
    pasted = cv2.warpAffine(layers, to_square, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    weight = pasted[..., 3:]
    return _as_bytes(frame * (1 - weight) + pasted[..., :3] * weight)


def square_matrix(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) similarity that takes the eyes to their places in the aligned square."""
    eye_left, eye_right = landmarks[0], landmarks[1]
    cosine, sine = (eye_right - eye_left) * EYE_DISTANCE / np.sum((eye_right - eye_left) ** 2)
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    return np.column_stack([rotation, EYE_MIDDLE - rotation @ ((eye_left + eye_right) / 2)])


def blending_mask() -> NDArray[np.float32]:
    """Weight of the altered face in the aligned square: (SQUARE_PX, SQUARE_PX) float32 in [0, 1]."""
    hull = cv2.convexHull(np.round(EYE_MIDDLE + OUTLINE * EYE_DISTANCE).astype(np.int32))
    filled = np.zeros((SQUARE_PX, SQUARE_PX), np.float32)
    cv2.fillConvexPoly(filled, hull, 1.0)
    shifts = np.random.default_rng((SEED, 1)).uniform(-1, 1, (SQUARE_PX, SQUARE_PX, 2)).astype(np.float32)
    shifts = cv2.GaussianBlur(shifts, (0, 0), ELASTIC_SIGMA_PX)
    shifts *= ELASTIC_PX / np.abs(shifts).max()
    deformed = cv2.remap(filled, _grid() + shifts, None, cv2.INTER_LINEAR)
    return cv2.GaussianBlur(deformed, (0, 0), FEATHER_PX)


def alter_face(face: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """The copy that is blended in: moved, with an opened mouth, softer, of another colour. Shapes as the square's."""
    grid = _grid()
    jitter = np.random.default_rng((SEED, 2, index)).normal(0.0, JITTER_PX, 2)
    source = (grid - EYE_MIDDLE - SOURCE_SHIFT_PX - jitter) / SOURCE_SCALE + EYE_MIDDLE
    source[..., 1] -= mouth_opening_px(index) * _lower_lip_weight(grid)
    moved = cv2.remap(face, source.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), BLUR_PX)
    mean = soft.mean((0, 1))
    return ((soft - mean) * CONTRAST + mean) * COLOUR_GAINS


def mouth_opening_px(index: int) -> float:
    """How far the lower lip is pulled down in the aligned square: syllables at about three a second, within phrases."""
    seconds = index / FRAME_RATE
    syllable = 0.5 - 0.5 * np.cos(2 * np.pi * 2.9 * seconds + 0.8 * np.sin(2 * np.pi * 0.7 * seconds))
    phrase = 0.65 + 0.35 * np.sin(2 * np.pi * 0.45 * seconds)
    return float(MOUTH_OPENING_PX * syllable * phrase)


def _lower_lip_weight(grid: NDArray[np.float32]) -> NDArray[np.float64]:
    matrix = square_matrix(LANDMARKS)
    mouth = matrix[:, :2] @ LANDMARKS[3:].mean(0) + matrix[:, 2]
    # The lower lip lies a quarter of an eye distance below the corners of a smile; lips are twice as wide as high.
    offset = (grid - mouth - [0.0, 0.25 * EYE_DISTANCE]) / (np.array([0.42, 0.22]) * EYE_DISTANCE)
    return np.exp(-0.5 * (offset**2).sum(-1))


def _grid() -> NDArray[np.float32]:
    y, x = np.mgrid[:SQUARE_PX, :SQUARE_PX].astype(np.float32)
    return np.dstack([x, y])


def _as_bytes(values: NDArray[np.floating]) -> Frame:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def encode_clip(path: Path, frames: Iterable[Frame], title: str) -> None:
    """Write frames as H.264 in MP4, yuv420p, with one encoder thread and no date: the same frames, the same bytes."""
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", container_options=options) as container:
        container.metadata.update(title=title, comment=LICENCE_NOTE)
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": str(CRF), "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = SIZE_PX, SIZE_PX, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def make_clips(folder: Path) -> None:
    """Write real.mp4, fake.mp4 and manifest.csv into the folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = astronaut()
    mask = blending_mask()
    clips: tuple[tuple[str, str, Callable[[int], Frame]], ...] = (
        ("real.mp4", REAL_TITLE, lambda index: real_frame(picture, index)),
        ("fake.mp4", FAKE_TITLE, lambda index: fake_frame(picture, index, mask)),
    )
    for name, title, draw in clips:
        encode_clip(folder / name, map(draw, range(FRAME_COUNT)), title)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(MANIFEST_ROWS)


def make_selftest(path: Path) -> None:
    """Write the picture on which the command `doctor` tries the installation: head and shoulders, JPEG."""
    left, top = SELFTEST_LEFT_TOP_PX
    region = astronaut()[top : top + SELFTEST_PX, left : left + SELFTEST_PX]
    _, data = cv2.imencode(".jpg", region[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, SELFTEST_JPEG_QUALITY])
    path.write_bytes(data.tobytes())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the example clips from a public-domain picture.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--output", type=Path, metavar="DIR", default=here, help="folder (default: this script's)")
    parser.add_argument("--selftest", type=Path, metavar="FILE", help="make only the self-test picture, into FILE")
    arguments = parser.parse_args()
    if arguments.selftest:
        make_selftest(arguments.selftest)
    else:
        make_clips(arguments.output)


if __name__ == "__main__":
    main()
