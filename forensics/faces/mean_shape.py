"""The mean face: 68 points in iBUG order with depth, and where they lie in a picture of which five landmarks are known.

Points 17 to 67 (brows, nose, eyes, lips) are the average positions that dlib aligns faces to (King, JMLR 10, 2009;
`image_transforms/interpolation.h`, Boost Software License 1.0). The jaw, points 0 to 16, which dlib leaves out, is the rim
of MediaPipe's canonical face (Kartynnik et al. 2019, arXiv 1907.06724; `canonical_face_model.obj`, Apache-2.0): its
vertices 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152 and their mirror images, seen from one metre,
laid on dlib's points by the corners of eyes and mouth, divided into equal lengths. Depths are those of the same model.
Order: Sagonas et al., 300 Faces in-the-Wild (ICCV workshops 2013); left and right are the picture's.
Limits: five landmarks say where a face is, how large, and where it is turned to. They do not say whether its mouth is
open or its jaw broad: those stay the mean's, in all about a tenth of the distance of the eyes from the truth.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (N, 2) as (x, y)

# x, y (down) and depth (towards the camera, 0 at the eyes), in dlib's unit: about the width of the brows.
# fmt: off
_MEAN = np.array([
    (-0.1217, 0.2523, -0.456), (-0.1110, 0.4129, -0.491), (-0.0962, 0.5731, -0.486), (-0.0658, 0.7308, -0.459),
    (-0.0122, 0.8818, -0.388), (0.0736, 1.0171, -0.243), (0.1934, 1.1241, -0.101), (0.3328, 1.2027, 0.013),
    (0.4901, 1.2309, 0.049), (0.6474, 1.2027, 0.013), (0.7869, 1.1241, -0.101), (0.9066, 1.0171, -0.243),
    (0.9924, 0.8818, -0.388), (1.0461, 0.7308, -0.459), (1.0764, 0.5731, -0.486), (1.0913, 0.4129, -0.491),
    (1.1020, 0.2523, -0.456),
    (0.0002, 0.1065, -0.166), (0.0753, 0.0389, 0.008), (0.1811, 0.0187, 0.065), (0.2908, 0.0345, 0.110),
    (0.3934, 0.0774, 0.134), (0.5869, 0.0774, 0.134), (0.6895, 0.0345, 0.110), (0.7991, 0.0187, 0.065),
    (0.9050, 0.0389, 0.008), (0.9800, 0.1065, -0.166),
    (0.4901, 0.2034, 0.127), (0.4901, 0.3070, 0.214), (0.4901, 0.4098, 0.289), (0.4901, 0.5156, 0.317),
    (0.3669, 0.5873, 0.162), (0.4260, 0.6093, 0.178), (0.4901, 0.6281, 0.194), (0.5542, 0.6093, 0.178),
    (0.6134, 0.5873, 0.162),
    (0.1217, 0.2164, -0.039), (0.1871, 0.1788, 0.005), (0.2658, 0.1799, 0.017), (0.3346, 0.2317, 0.008),
    (0.2609, 0.2451, 0.010), (0.1827, 0.2441, -0.002),
    (0.6456, 0.2317, 0.008), (0.7144, 0.1799, 0.017), (0.7931, 0.1788, 0.005), (0.8585, 0.2164, -0.039),
    (0.7975, 0.2441, -0.002), (0.7193, 0.2451, 0.010),
    (0.2541, 0.7802, 0.051), (0.3410, 0.7454, 0.148), (0.4289, 0.7274, 0.179), (0.4901, 0.7426, 0.187),
    (0.5514, 0.7274, 0.179), (0.6393, 0.7454, 0.148), (0.7261, 0.7802, 0.051), (0.6422, 0.8648, 0.125),
    (0.5567, 0.9022, 0.144), (0.4901, 0.9093, 0.151), (0.4235, 0.9022, 0.144), (0.3381, 0.8648, 0.125),
    (0.2904, 0.7848, 0.031), (0.4281, 0.7787, 0.119), (0.4901, 0.7853, 0.126), (0.5522, 0.7787, 0.119),
    (0.6899, 0.7848, 0.031), (0.5534, 0.8242, 0.136), (0.4901, 0.8318, 0.141), (0.4269, 0.8242, 0.136),
])
# fmt: on
MEAN_SHAPE: Points = _MEAN[:, :2]
MEAN_DEPTH: NDArray[np.float64] = _MEAN[:, 2]

JAW, BROWS = slice(0, 17), slice(17, 27)
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
NOSE_TIP, LEFT_MOUTH, RIGHT_MOUTH, CHIN = 30, 48, 54, 8

# Pull of the camera towards a similarity that sees the face from the front, in the unit of the points' scatter (.25 across,
# .4 down, .08 in depth). Ten numbers would fix the eight of an affine camera, but not well: shear and stretch follow every
# open mouth. Strong in the plane, weak in depth, which is what a turned head needs: on 23 faces of five clips the jaw is
# .15 of the distance of the eyes away from where dlib's 68-point model sees it (.17 with .02 for all, .18 without depth).
PULL = np.array([0.5, 0.5, 0.02])


def five_of(points: NDArray[np.floating]) -> Points:
    """The five landmarks of 68 points (68, 2 or 3): centres of the eyes, tip of the nose, corners of the mouth."""
    eyes = [points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)]
    return np.array([*eyes, points[NOSE_TIP], points[LEFT_MOUTH], points[RIGHT_MOUTH]], np.float64)


def place_mean_shape(landmarks: NDArray[np.floating]) -> Points:
    """The mean face in a picture in which its five landmarks are these (5, 2): (68, 2) in the same pixels.

    The camera is affine (scaled orthography, with shear): a nose that lies off the middle of eyes and mouth turns the face,
    and the jaw, which lies behind the eyes, moves the other way. It is found by least squares with a pull towards a
    similarity. Raises ValueError for landmarks that coincide.
    """
    camera, centre, face_centre = _camera(landmarks)
    return np.asarray((_MEAN - face_centre) @ camera.T + centre, np.float64)


def head_turn(landmarks: NDArray[np.floating]) -> tuple[float, float]:
    """How far the face looks to the picture's right and down: sines of yaw and pitch, roughly; 0, 0 from the front.

    landmarks: (5, 2). Good for comparing poses, not for measuring them. Raises ValueError for landmarks that coincide.
    """
    camera, _, _ = _camera(landmarks)
    upright = camera[:, 1] / np.linalg.norm(camera[:, 1])  # down the face, in the picture
    across = np.array([upright[1], -upright[0]])
    scale = float(np.linalg.norm(camera))  # of a rotation's two rows: the square root of two
    turn = camera[:, 2] * np.sqrt(2.0) / scale
    return float(np.clip(turn @ across, -1, 1)), float(np.clip(turn @ upright, -1, 1))


def lifted_brows(points: NDArray[np.floating], brow_lift: float) -> Points:
    """The brows (10, 2), moved up the face by a share of its height from chin to brows."""
    brows = np.asarray(points[BROWS], np.float64)
    return np.asarray(brows + brow_lift * (brows.mean(0) - points[CHIN]), np.float64)


def face_hull(points: NDArray[np.floating], brow_lift: float = 0.25) -> Points:
    """Convex hull (M, 2) of a face of 68 points (68, 2), from the jaw to the middle of the forehead.

    What swaps replace: less would leave the other person's brows once its rim is softened, more would reach into the hair.
    """
    ring = np.concatenate([points, lifted_brows(points, brow_lift)]).astype(np.float32)
    return np.asarray(cv2.convexHull(ring)[:, 0], np.float64)


def _camera(landmarks: NDArray[np.floating]) -> tuple[NDArray[np.float64], Points, NDArray[np.float64]]:
    """Camera (2, 3), where the centre of the five landmarks lies in the picture (2,), and in the face (3,)."""
    seen = np.asarray(landmarks, np.float64)
    face = five_of(_MEAN)
    prior = _similarity(face, seen)
    face_centre, centre = face.mean(0), seen.mean(0)
    x, y = face - face_centre, seen - centre
    pull = np.diag(PULL)
    camera = np.linalg.solve(x.T @ x + pull, (y.T @ x + prior @ pull).T).T
    return camera, centre, face_centre


def _similarity(face: NDArray[np.float64], seen: Points) -> NDArray[np.float64]:
    """The (2, 3) camera that turns the face in the picture's plane only. The nose, which depth moves, has no say."""
    flat = [0, 1, 3, 4]
    u = (face[flat, :2] - face[flat, :2].mean(0)) @ (1, 1j)
    v = (seen[flat] - seen[flat].mean(0)) @ (1, 1j)
    factor = np.vdot(u, v) / np.vdot(u, u).real
    if not np.isfinite(factor) or abs(factor) < 1e-9:
        raise ValueError("landmarks coincide")
    return np.array([[factor.real, -factor.imag, 0.0], [factor.imag, factor.real, 0.0]])
