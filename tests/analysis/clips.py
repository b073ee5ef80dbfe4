"""Seeded clips for the analyses of time: drawn heads that move, speak and are filmed, and what can be wrong with them.

A face's pictures are made as they would come out of `observe`, without the detour over frames and a face detector: a
drawn head, plus small movements (linear in the picture's gradients), times light, plus a camera's noise, rounded to 8
bits.
"""

from collections.abc import Mapping
from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from forensics.analysis.face_tracks import FACE_PX, aligned_shape, face_mask, skin_regions
from forensics.analysis.protocol import Clip, FaceThroughTime
from forensics.faces.mean_shape import five_of

FPS = 25.0
# Of a detector's landmarks, in pixels of a face's picture: with the smooth movement off, MTCNN and YuNet show about as
# much.
LANDMARK_NOISE_PX = 0.12
# Blood changes green most: relative amplitudes after de Haan and van Leest (2014), for skin under white light.
PULSE_RGB = np.array([0.33, 0.77, 0.53]) / 0.77


def smooth(rng: np.random.Generator, n: int, sigma: float, *shape: int) -> np.ndarray:
    """A slow random walk (n, *shape) float64 of about unit spread: white noise, averaged over `sigma` samples."""
    noise = rng.normal(size=(n + int(8 * sigma), *shape))
    slow = gaussian_filter1d(noise, sigma, axis=0)[int(4 * sigma) : int(4 * sigma) + n]
    return slow * np.sqrt(2 * np.sqrt(np.pi) * sigma)


@lru_cache(maxsize=64)
def draw_head(seed: int) -> np.ndarray:
    """A head in the frame of a face's picture: (64, 64, 3) float32 RGB. Another seed is another person."""
    rng = np.random.default_rng(1_000 + seed)
    scale = 4
    side = FACE_PX * scale

    def texture(spread: float, sigma: float) -> np.ndarray:
        noise = cv2.GaussianBlur(rng.normal(size=(side, side, 1)).astype(np.float32), (0, 0), sigma)
        return (noise / noise.std() * spread)[:, :, None]

    picture = rng.uniform(60, 180, 3) + texture(25, 20.0) + texture(8, 6.0)
    middle = (side // 2, int(side * 0.48))
    hair = np.zeros((side, side, 1), np.float32)
    cv2.ellipse(hair, middle, (int(side * 0.40), int(side * 0.47)), 0, 0, 360, 1.0, -1)
    picture = picture * (1 - hair[..., :1]) + (rng.uniform(25, 90, 3) + texture(14, 5.0)) * hair
    points = (aligned_shape() + 0.5) * scale
    tone = np.array([rng.uniform(150, 220), rng.uniform(105, 160), rng.uniform(80, 130)])
    skin = cv2.resize(face_mask().astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)[..., None]
    shade = 1 + 0.12 * rng.normal() * np.linspace(-1, 1, side)[None, :, None] + texture(0.05, 24.0)
    picture = picture * (1 - skin) + np.maximum(tone * shade, 0) * skin
    for indices in (range(36, 42), range(42, 48)):
        eye = points[list(indices)].mean(0) + rng.normal(0, 4, 2)
        size = (int(rng.uniform(14, 22)), int(rng.uniform(5, 11)))
        cv2.ellipse(picture, tuple(map(int, eye)), size, 0, 0, 360, [230.0] * 3, -1)
        cv2.circle(picture, tuple(map(int, eye)), size[1], [float(rng.uniform(20, 90))] * 3, -1)
    lift, thick, dark = rng.normal(0, 4), int(rng.uniform(4, 11)), float(rng.uniform(30, 100))
    for brow in (points[17:22], points[22:27]):
        cv2.polylines(picture, [np.rint(brow - (0, lift)).astype(np.int32)], False, [dark] * 3, thick)
    nose = points[33] + rng.normal(0, 3, 2)
    cv2.ellipse(picture, tuple(map(int, nose)), (int(rng.uniform(10, 20)), 6), 0, 0, 360, list(0.6 * tone), -1)
    mouth = points[48:60].mean(0) + rng.normal(0, 3, 2)
    lips = [float(rng.uniform(120, 190)), 70.0, 75.0]
    cv2.ellipse(
        picture, tuple(map(int, mouth)), (int(rng.uniform(22, 36)), int(rng.uniform(5, 10))), 0, 0, 360, lips, -1
    )
    blurred = cv2.GaussianBlur(np.clip(picture, 0, 255).astype(np.float32), (0, 0), 0.4 * scale)
    return np.clip(cv2.resize(blurred, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA), 0, 255)


def make_track(
    seed: int,
    times_s: np.ndarray,
    *,
    gain: np.ndarray | None = None,
    shift: np.ndarray | None = None,
    other_from: int | None = None,
    pulse: Mapping[str, float] | float | None = None,
    amplitude: float = 0.01,
    lamp_bpm: float | None = None,
    noise: float = 1.0,
    blur: float = 0.0,
    eyes_px: float = 34.0,
) -> FaceThroughTime:
    """One face in all frames of a clip with these times.

    gain (n, 3): of the face alone. shift (n, 2): of the face against its head, in pixels of its picture. other_from: the
    frame from which the face is another's. pulse: beats per minute, for all skin or by region. lamp_bpm: a coloured light
    on everything that comes and goes. noise: of the camera, in grey levels of the small picture. blur: as of a
    compression.
    """
    rng = np.random.default_rng(seed)
    n = len(times_s)
    head = draw_head(seed)
    mask = cv2.GaussianBlur(face_mask().astype(np.float32), (0, 0), 1.5)[..., None]
    plain = head * (1 - mask) + draw_head(seed + 500) * mask if other_from is not None else head
    # Errors of the landmarks move the picture as a whole: a similarity's least squares, in complex numbers.
    target = five_of(aligned_shape())
    errors = rng.normal(0, LANDMARK_NOISE_PX, (n, 5, 2))
    arms = (target - target.mean(0)) @ (1, 1j)
    turned = (errors @ (1, 1j)) @ arms.conj() / (np.abs(arms) ** 2).sum()
    moved = np.column_stack([errors.mean(1), turned.imag, turned.real])  # x, y, rotation, scale
    inner = 0.5 * smooth(rng, n, 15, 2) + (0 if shift is None else shift)  # the nose of a head that turns slowly
    faces = np.empty((n, FACE_PX, FACE_PX, 3), np.float32)
    late = np.arange(n) >= (n if other_from is None else other_from)
    for picture, chosen in ((head, ~late), (plain, late)):
        down, across, _ = np.gradient(picture)
        y, x = np.mgrid[:FACE_PX, :FACE_PX].astype(np.float32)[..., None] - FACE_PX / 2
        fields = np.stack([across, down, x * down - y * across, x * across + y * down])
        layers = np.concatenate([fields, np.stack([across, down]) * mask]).reshape(6, -1)
        weights = np.column_stack([-moved, -inner])[chosen].astype(np.float32)
        faces[chosen] = picture + (weights @ layers.astype(np.float32)).reshape(-1, *picture.shape)
    _speak(rng, faces, times_s)
    light = 1 + 0.04 * smooth(rng, n, 30, 1) + 0.01 * smooth(rng, n, 30, 3)
    if lamp_bpm is not None:
        light = light * (1 + 0.02 * np.sin(2 * np.pi * lamp_bpm / 60 * times_s)[:, None] * PULSE_RGB)
    if gain is not None:
        faces *= 1 + mask * (gain[:, None, None] - 1).astype(np.float32)
    if pulse is not None:
        _beat(faces, times_s, pulse, amplitude)
    faces *= light[:, None, None].astype(np.float32)
    faces += rng.standard_normal(faces.shape, np.float32) * noise
    if blur > 0:
        faces = np.stack([cv2.GaussianBlur(face, (0, 0), blur) for face in faces])
    around = np.full(3, 110.0) * light * (1 + 0.004 * rng.normal(size=(n, 1))) + rng.normal(0, 0.1, (n, 3))
    zoom = eyes_px / float(np.linalg.norm(target[1] - target[0]))
    landmarks = 200 + 10 * smooth(rng, n, 20, 1, 2) + zoom * (target + errors)
    rounded = np.clip(np.rint(faces), 0, 255).astype(np.uint8)
    frames = np.arange(n, dtype=np.int64)
    return FaceThroughTime(1, frames, times_s, landmarks.astype(np.float32), rounded, around.astype(np.float32))


def _speak(rng: np.random.Generator, faces: np.ndarray, times_s: np.ndarray) -> None:
    """Opens and closes the mouth about four times a second, with pauses, and closes the eyes now and then."""
    points = aligned_shape()
    n = len(times_s)
    opened = np.clip(smooth(rng, n, 3), 0, 2) * (smooth(rng, n, 25) > -0.5)
    closed = (rng.random(n) < 0.012).astype(np.float64)
    closed = np.minimum(1, closed + np.roll(closed, 1) + np.roll(closed, 2))
    for indices, amount in ((slice(60, 68), 0.3 * opened), (slice(36, 48), 0.4 * closed)):
        place = np.zeros((FACE_PX, FACE_PX), np.float32)
        cv2.fillConvexPoly(place, np.rint(cv2.convexHull(points[indices].astype(np.float32))).astype(np.int32), 1.0)
        place = cv2.GaussianBlur(place, (0, 0), 1.0)
        rows, columns = (np.flatnonzero(place.max(axis) > 0) for axis in (1, 0))
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        faces[:, *part] *= 1 - place[None, *part, None] * amount[:, None, None, None].astype(np.float32)


def _beat(faces: np.ndarray, times_s: np.ndarray, pulse: Mapping[str, float] | float, amplitude: float) -> None:
    """In the given regions, or in all skin of the face."""
    parts = pulse if isinstance(pulse, Mapping) else dict.fromkeys(skin_regions(), pulse)
    for name, bpm in parts.items():
        mask = skin_regions()[name]
        phase = 2 * np.pi * bpm / 60 * times_s
        beat = np.sin(phase) + 0.3 * np.sin(2 * phase - 0.6)  # systole is steeper than diastole
        faces[:, mask] *= (1 + amplitude * beat[:, None, None] * PULSE_RGB).astype(np.float32)


@lru_cache(maxsize=8)
def scenery(kind: int) -> np.ndarray:
    """A real photograph's luma, (150, 220) float32: what the camera pans over."""
    data = __import__("skimage.data", fromlist=["data"])
    picture = (data.coffee, data.chelsea, data.rocket, data.astronaut)[kind % 4]()
    gray = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (220, 150), interpolation=cv2.INTER_AREA).astype(np.float32)


def film(seed: int, n: int, sway: float = 8.0, noise: float = 0.5) -> np.ndarray:
    """A camera that sways over a photograph while something dark moves through: (n, 54, 96) uint8."""
    rng = np.random.default_rng(2_000 + seed)
    picture = scenery(seed)
    path = (60, 45) + sway * smooth(rng, n, 12, 2) * (1, 0.6)
    walker = 48 + 30 * smooth(rng, n, 15)
    y, x = np.mgrid[:54, :96].astype(np.float32)
    frames = []
    for (left, top), place in zip(path, walker, strict=True):
        matrix = np.array([[1, 0, left], [0, 1, top]], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(picture, matrix, (96, 54), flags=flags, borderMode=cv2.BORDER_REFLECT)
        frames.append(view * (1 - 0.6 * np.exp(-((x - place) ** 2) / 60 - (y - 30) ** 2 / 200)))
    stack = np.stack(frames) + rng.normal(0, noise, (n, 54, 96))
    return np.clip(np.rint(stack), 0, 255).astype(np.uint8)


def times_of(n: int, fps: float = FPS) -> np.ndarray:
    return np.arange(n) / fps


def uneven_times(seed: int, n: int, fps: float = FPS) -> np.ndarray:
    """Times of a telephone's variable rate: each step up to 30 % shorter or longer, now and then twice as long."""
    rng = np.random.default_rng(3_000 + seed)
    steps = rng.uniform(0.7, 1.3, n) * np.where(rng.random(n) < 0.03, 2.0, 1.0)
    return np.cumsum(steps) / fps


def clip_of(gray: np.ndarray, *tracks: FaceThroughTime, fps: float = FPS) -> Clip:
    times = tracks[0].times_s if tracks else times_of(len(gray), fps)
    return Clip(times, gray, 640 / 96, tracks, True)


def track_clip(track: FaceThroughTime) -> Clip:
    """A clip of which only the track matters: nothing in its grey pictures moves."""
    return Clip(track.times_s, np.zeros((len(track.times_s), 6, 8), np.uint8), 80.0, (track,), True)


def face_clip(seed: int, n: int = 100, times_s: np.ndarray | None = None, **wrong: object) -> Clip:
    """A clip with one face; without keywords of `make_track`, an ordinary one."""
    times = times_of(n) if times_s is None else times_s
    return clip_of(film(seed, len(times)), make_track(seed, times, **wrong))  # type: ignore[arg-type]


def ordinary_clips(count: int, n: int = 100) -> list[Clip]:
    """What cameras and encoders do: more or less noise and blur, larger and smaller faces, even and uneven times."""
    clips = []
    for seed in range(count):
        rng = np.random.default_rng(4_000 + seed)
        times = times_of(n) if seed % 3 else uneven_times(seed, n)
        clips.append(
            face_clip(
                seed,
                times_s=times,
                noise=float(rng.uniform(0.3, 2.5)),
                blur=float(rng.choice([0.0, 0.6, 1.0])),
                eyes_px=float(rng.uniform(17, 60)),
            )
        )
    return clips


def saved_again(clip: Clip, seed: int = 0) -> Clip:
    """Every picture as a JPEG of quality 40 to 80 has it: what another compression does to small pictures."""
    quality = int(np.random.default_rng(5_000 + seed).integers(40, 81))

    def again(picture: np.ndarray) -> np.ndarray:
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)

    tracks = []
    for track in clip.tracks:
        faces = np.stack([again(face) for face in track.faces])
        tracks.append(FaceThroughTime(track.id, track.frames, track.times_s, track.landmarks, faces, track.around))
    gray = np.stack([again(picture) for picture in clip.gray])
    return Clip(clip.times_s, gray, clip.scale, tuple(tracks), clip.is_complete)


# --- what is wrong ------------------------------------------------------------------------------------------------


def flickering(seed: int, n: int = 100, spread: float = 0.04) -> Clip:
    """The face's light is fitted to each frame anew."""
    rng = np.random.default_rng(6_000 + seed)
    gain = 1 + rng.normal(0, spread, (n, 1)) + rng.normal(0, spread / 4, (n, 3))
    return face_clip(seed, n, gain=gain)


def trembling(seed: int, n: int = 100, spread_px: float = 1.0) -> Clip:
    """The face is laid on its head by landmarks that are off, each time differently."""
    rng = np.random.default_rng(7_000 + seed)
    return face_clip(seed, n, shift=rng.normal(0, spread_px, (n, 2)))


def changing(seed: int, n: int = 100) -> Clip:
    """From some frame on the face is another's."""
    return face_clip(seed, n, other_from=int(np.random.default_rng(8_000 + seed).integers(n // 3, 2 * n // 3)))


def copied(seed: int, n: int = 150, length: int = 16) -> Clip:
    """A stretch of frames is shown a second time, over what was there, and all is compressed again."""
    rng = np.random.default_rng(9_000 + seed)
    gray = film(seed, n)
    first = int(rng.integers(5, n // 2 - length))
    second = int(rng.integers(first + length + 5, n - length))
    gray[second : second + length] = gray[first : first + length]
    noisy = gray + rng.normal(0, 0.5, gray.shape)
    return clip_of(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def degenerate_clips() -> dict[str, Clip]:
    """What no camera gives: no frames, one, tiny, flat, noise, long and thin; tracks that are empty, short, flat, gappy,
    with landmarks that coincide."""
    rng = np.random.default_rng(0)
    clips = {
        f"{n} of {h} x {w} {kind}": clip_of(
            np.full((n, h, w), 7, np.uint8) if kind == "flat" else rng.integers(0, 256, (n, h, w), np.uint8)
        )
        for n, h, w in ((0, 54, 96), (1, 54, 96), (2, 1, 1), (60, 1, 1), (60, 8, 8), (60, 96, 1), (90, 54, 96))
        for kind in ("flat", "noise")
    }
    gray = film(0, 300)
    times = times_of(300)
    whole = make_track(0, times)

    def part(
        frames: np.ndarray,
        faces: np.ndarray | None = None,
        landmarks: np.ndarray | None = None,
        around: float | None = None,
    ) -> Clip:
        ring = whole.around[frames] if around is None else np.full((len(frames), 3), around, np.float32)
        marks = whole.landmarks[frames] if landmarks is None else landmarks
        pictures = whole.faces[frames] if faces is None else faces
        track = FaceThroughTime(1, frames, times[frames], marks, pictures, ring)
        return Clip(times, gray, 6.7, (track,), False)

    every = np.arange(300)
    clips["empty track"] = part(every[:0])
    clips["short track"] = part(every[:8])
    clips["gappy track"] = part(np.concatenate([every[:60], every[200:]]))
    clips["sparse track"] = part(every[::7])
    for level in (0, 128, 255):
        flat = np.full((300, 64, 64, 3), level, np.uint8)
        clips[f"flat face of {level}"] = part(every, flat, around=level)
    clips["face of noise"] = part(every, rng.integers(0, 256, (300, 64, 64, 3), np.uint8))
    clips["one point"] = part(every, landmarks=np.full((300, 5, 2), 50, np.float32))
    wild = rng.normal(0, 1e4, (300, 5, 2)).astype(np.float32)
    clips["wild landmarks"] = part(every, landmarks=wild)
    return clips
