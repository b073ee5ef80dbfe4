"""Pairs of a real crop and a forgery made of it: training data for forgeries that nobody has seen yet.

`self_blend`: a face blended with a transformed copy of itself (Shiohara and Yamasaki: Detecting Deepfakes with Self-Blended
Images, CVPR 2022, arXiv 2204.08376). `warp_blend`: the face through a smaller aligned one and back (Li and Lyu: Exposing
DeepFake Videos By Detecting Face Warping Artifacts, 2018, arXiv 1811.00656). `face_blend`: another person's face (the
blended images of Li et al.: Face X-ray, CVPR 2020, arXiv 1912.13458). `part_blend`: another person's eyes, nose or mouth,
as composites are made by hand, sometimes in the gradient domain.
Both pictures of a pair must meet the same augmentation afterwards: what only one of them went through is a shortcut.
Limits: nothing is synthesised, so these teach seams, resolution and colour, not the traces of a generator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.mean_shape import five_of
from forensics.faces.similarity import similarity
from forensics.training.blending import compositing, geometry, masks, transforms
from forensics.training.blending.compositing import Crop
from forensics.training.blending.geometry import Matrix, Warped
from forensics.training.blending.masks import Mask, Part, Points

Landmarks = NDArray[np.floating]  # (5, 2) as (x, y)

TRIES = 12

# Opacities of self-blended images, of the reference recipe.
OPACITIES = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
# What the transformed side of a self-blend differs in.
P_BOTH, P_COLOUR_ONLY = 0.6, 0.2

# Side of the aligned face that a warped one comes back from, in pixels; its blur, in pixels of its own.
WARPED_PX, WARPED_BLUR_PX = (24.0, 96.0), (0.3, 1.0)
# A face that comes back from less than a quarter is seen by everyone; from more than this share, by no one.
WARPED_SHARE = (1 / 4, 0.7)

# Composites by hand: matched colours or not, hard rims or soft, gradients or values, parts fitted one by one or together.
P_MATCHED, P_HARD_RIM, P_POISSON, P_BY_PART, P_DONOR_SHARPNESS = 0.75, 0.3, 0.15, 0.5, 0.25
# How far colours are matched where they are not matched fully: not at all would be a patch of another skin.
HALF_MATCHED = (0.4, 0.9)
HARD_KERNEL_SHARE, SOFT_KERNEL_PX = 1 / 75, 15
# Swaps of whole faces: a network's face is often smaller than the frame's.
P_SWAP_REDUCED, SWAP_DIVISOR = 0.4, (1.2, 4.0)
# Where the points of a part sit among the five landmarks: which of these are averaged.
ANCHORS: dict[Part, tuple[int, ...]] = {"left eye": (0,), "right eye": (1,), "nose": (2,), "mouth": (3, 4)}


@dataclass(frozen=True, eq=False)
class Blend:
    """A real crop and its forgery, (S, S, 3) uint8 both, and the opacity of what was replaced, (S, S) in [0, 1]."""

    real: Crop
    fake: Crop
    mask: Mask


def self_blend(crop: Crop, landmarks: Landmarks, rng: np.random.Generator) -> Blend:
    """The face blended with itself, one side of it changed in colour, sharpness or both, and slightly moved.

    crop: (S, S, 3) uint8; landmarks: (5, 2) in its pixels. Where the change fell on the surroundings, `real` is the changed
    crop. Raises ValueError for landmarks that coincide or lie so far outside that no face is in the crop.
    """
    geometry.checked_crop(crop)
    points = geometry.face_points(landmarks)
    side = crop.shape[0]

    def draw() -> Blend:
        changed = _changed(crop, rng)
        source, target = (changed, crop) if rng.random() < 0.5 else (crop, changed)
        matrix = geometry.small_move(side, rng)
        mask = masks.random_mask(geometry.moved(points, matrix), side, rng)
        source = geometry.warp_by_matrix(source, matrix, side, rng).picture
        return _blend(target, source, mask * np.float32(OPACITIES[rng.integers(len(OPACITIES))]))

    return _first_good(draw)


def warp_blend(crop: Crop, landmarks: Landmarks, rng: np.random.Generator) -> Blend:
    """The face aligned at a random smaller size, blurred there, and pasted back: lost resolution inside a mask.

    crop: (S, S, 3) uint8; landmarks: (5, 2) in its pixels. `real` is the crop. Raises ValueError as `self_blend`, and for a
    crop without any detail that could be lost.
    """
    geometry.checked_crop(crop)
    points = geometry.face_points(landmarks)
    side = crop.shape[0]
    size = _face_px(points)
    log_range = np.log(WARPED_PX)

    def draw() -> Blend:
        wanted = np.exp(rng.uniform(*log_range)) / size
        # Limits that are random too, so that crops beyond them do not all meet one scale.
        low, high = (share * rng.uniform(0.8, 1.0) for share in WARPED_SHARE)
        factor = float(np.clip(wanted, low, high))
        source = _through_aligned(crop, points, factor, rng)
        return _blend(crop, source, masks.random_mask(points, side, rng))

    return _first_good(draw)


def part_blend(
    crop: Crop, landmarks: Landmarks, donor: Crop, donor_landmarks: Landmarks, rng: np.random.Generator
) -> Blend:
    """One to three parts of the face (eyes with brows, nose, mouth) taken from another person, as by hand.

    crop: (S, S, 3) uint8, donor: (D, D, 3) uint8, landmarks of each (5, 2) in its own pixels. `real` is the crop. Raises
    ValueError as `self_blend`, for the donor's landmarks too.
    """
    geometry.checked_crop(crop)
    geometry.checked_crop(donor)
    points, donor_points = geometry.face_points(landmarks), geometry.face_points(donor_landmarks)
    five, donor_five = five_of(points), five_of(donor_points)
    side = crop.shape[0]

    def draw() -> Blend:
        parts = _random_parts(rng)
        matrix = similarity(donor_five, five)
        groups = _one_by_one(parts) if rng.random() < P_BY_PART else [parts]
        is_matched, is_hard, is_poisson = (rng.random(3) < (P_MATCHED, P_HARD_RIM, P_POISSON)).tolist()
        material = transforms.change_sharpness(donor, rng) if rng.random() < P_DONOR_SHARPNESS else donor
        strength = 1.0 if is_matched else float(rng.uniform(*HALF_MATCHED))
        fake, total = crop, np.zeros((side, side), np.float32)
        for group in groups:
            fitting = _fitting(matrix, donor_five, five, group)
            warped = geometry.warp_by_matrix(material, fitting, side, rng)
            mask = _part_mask(points, group, warped, is_hard, rng)
            source = transforms.match_colour(warped.picture, crop, mask, strength)
            fake = compositing.composite(fake, compositing.cloned(source, fake, mask) if is_poisson else source, mask)
            total = np.maximum(total, mask)
        return Blend(crop, fake, total)

    return _first_good(draw)


def face_blend(
    crop: Crop, landmarks: Landmarks, donor: Crop, donor_landmarks: Landmarks, rng: np.random.Generator
) -> Blend:
    """The face of another person on this one's: moved by a similarity, an affine map or a spline, colours matched.

    crop: (S, S, 3) uint8, donor: (D, D, 3) uint8, landmarks of each (5, 2) in its own pixels. `real` is the crop. Raises
    ValueError as `self_blend`, for the donor's landmarks too.
    """
    geometry.checked_crop(crop)
    geometry.checked_crop(donor)
    points, donor_points = geometry.face_points(landmarks), geometry.face_points(donor_landmarks)
    side = crop.shape[0]

    def draw() -> Blend:
        material = donor
        if rng.random() < P_SWAP_REDUCED:
            material = transforms.reduced(donor, rng.uniform(*SWAP_DIVISOR), rng)
        warped = _laid_on(material, donor_points, points, side, rng)
        mask = compositing.limited_to(masks.random_mask(points, side, rng), warped.seen)
        return _blend(crop, transforms.match_colour(warped.picture, crop, mask), mask)

    return _first_good(draw)


def pose_distance(landmarks: Landmarks, donor_landmarks: Landmarks) -> float:
    """How badly a donor's landmarks (5, 2) fit on these by a similarity: root mean square, in distances of the eyes.

    For choosing among donors, as Face X-ray does. Below 0.1: the same pose; above 0.25: a turned head on a frontal one.
    Raises ValueError for landmarks that coincide.
    """
    size = masks.eye_distance(geometry.face_points(landmarks))
    geometry.face_points(donor_landmarks)
    goal, five = np.asarray(landmarks, np.float64), np.asarray(donor_landmarks, np.float64)
    off = geometry.moved(five, similarity(five, goal)) - goal
    return float(np.sqrt(np.square(off).sum(1).mean())) / size


def _first_good(draw: Callable[[], Blend]) -> Blend:
    """The first blend that is seen and has a rim. Raises ValueError where there is none."""
    for _ in range(TRIES):
        blend = draw()
        if compositing.is_worthwhile(blend.real, blend.fake, blend.mask):
            return blend
    raise ValueError("no visible forgery of this crop: is the face inside it, and not a flat area?")


def _blend(target: Crop, source: Crop, mask: Mask) -> Blend:
    return Blend(target, compositing.composite(target, source, mask), mask)


def _changed(crop: Crop, rng: np.random.Generator) -> Crop:
    """The crop in other colours, of other sharpness, or both."""
    kind = rng.random()
    if kind < P_BOTH + P_COLOUR_ONLY:
        crop = transforms.shift_colour(crop, rng)
    if kind < P_BOTH or kind >= P_BOTH + P_COLOUR_ONLY:
        crop = transforms.change_sharpness(crop, rng)
    return crop


def _face_px(points: Points) -> float:
    """Side of a square about as large as the face."""
    return float(np.sqrt(np.prod(np.ptp(points, axis=0))))


def _through_aligned(crop: Crop, points: Points, factor: float, rng: np.random.Generator) -> Crop:
    """The crop after a turn into an upright square of `factor` times its size, and back."""
    side = crop.shape[0]
    small = max(8, round(side * factor))
    eyes = five_of(points)[1] - five_of(points)[0]
    turn = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, float(np.degrees(np.arctan2(eyes[1], eyes[0]))), 1.0)
    ratio = small / side
    # Corners of the turned crop leave the small square: it is mirrored there, and masks seldom reach them.
    forth = geometry.chained(
        np.asarray(turn, np.float64), np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2]])
    )
    aligned = geometry.warp_by_matrix(crop, forth, small, rng).picture
    aligned = np.asarray(cv2.GaussianBlur(aligned, (0, 0), rng.uniform(*WARPED_BLUR_PX)), np.uint8)
    back = np.asarray(cv2.invertAffineTransform(forth), np.float64)
    return geometry.warp_by_matrix(aligned, back, side, rng).picture


def _random_parts(rng: np.random.Generator) -> list[Part]:
    """One to three parts; both eyes come together more often than not, as by hand."""
    names = list(get_args(Part))
    chosen = {names[i] for i in rng.permutation(len(names))[: rng.integers(1, 4)]}
    if chosen & {"left eye", "right eye"} and rng.random() < 0.7:
        chosen |= {"left eye", "right eye"}
    return [name for name in names if name in chosen]


def _one_by_one(parts: list[Part]) -> list[list[Part]]:
    """The parts as they are pasted: the eyes as a strip of their own."""
    eyes = [part for part in parts if part.endswith("eye")]
    return [group for group in (eyes, *([part] for part in parts if part not in eyes)) if group]


def _fitting(matrix: Matrix, donor_five: Points, five: Points, parts: list[Part]) -> Matrix:
    """The matrix, moved so that the middle of these parts' landmarks falls where it is in the crop."""
    where = [i for part in parts for i in ANCHORS[part]]
    off = five[where].mean(0) - geometry.moved(donor_five[where], matrix).mean(0)
    return np.column_stack([matrix[:, :2], matrix[:, 2] + off])


def _part_mask(points: Points, parts: list[Part], warped: Warped, is_hard: bool, rng: np.random.Generator) -> Mask:
    """What the parts cover of the crop, as far as the donor has pixels there."""
    side = warped.seen.shape[0]
    grow = masks.eye_distance(points) * rng.uniform(1.0, 1.6)
    canvas = side if is_hard else int(rng.integers(masks.CANVAS_PX[0], masks.CANVAS_PX[1] + 1))
    mask = np.zeros((canvas, canvas), np.float32)
    for part in parts:
        outline = masks.part_points(points, part)
        mask = np.maximum(mask, masks.drawn([outline], grow * masks.PART_GROW[part], side, canvas))
    mask = masks.deformed(mask, rng)
    if is_hard:
        kernel = 2 * round(side * HARD_KERNEL_SHARE / 2) + 1
        return compositing.limited_to(
            masks.fitted(np.asarray(cv2.GaussianBlur(mask, (kernel, kernel), 0), np.float32), side), warped.seen
        )
    # Cut back less than it was grown, the part keeps its own points.
    return compositing.limited_to(masks.fitted(masks.softened(mask, rng, SOFT_KERNEL_PX), side), warped.seen)


def _laid_on(donor: Crop, donor_points: Points, points: Points, side: int, rng: np.random.Generator) -> Warped:
    """The donor's face on the points of the crop's, by one of three kinds of map."""
    kind = rng.integers(3)
    pins, goals = (p[geometry.SPLINE_POINTS] for p in (donor_points, points))
    if kind == 0:
        five, five_goals = five_of(donor_points), five_of(points)
        ends = np.concatenate([pins, five]), np.concatenate([goals, five_goals])
        warped = geometry.warp_by_spline(donor, ends[0], ends[1], side, rng)
        if warped is not None:
            return warped
    matrix = geometry.affine(pins, goals) if kind == 1 else similarity(five_of(donor_points), five_of(points))
    return geometry.warp_by_matrix(donor, geometry.chained(matrix, geometry.small_move(side, rng)), side, rng)
