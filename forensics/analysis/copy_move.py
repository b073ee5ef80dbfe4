"""Parts of a picture that are copies of other parts of it.

Key points whose descriptors resemble each other much more than any third one are matched, matches that agree on one affine
map are kept, and the two areas are laid over each other and correlated.
Amerini, Ballan, Caldelli, Del Bimbo, Serra: A SIFT-Based Forensic Method for Copy-Move Attack Detection and Transformation
Recovery (2011, IEEE TIFS 6(3)): matching (g2NN), clustering, affine RANSAC. Clusters are found here by DBSCAN (Ester,
Kriegel, Sander, Xu 1996) on the places of both ends, and a dense correlation is added, since windows and tiles match as
well as copies.
Limits: blind to copies of smooth parts (sky, skin), which have no key points, and to small ones, which have few;
what repeats exactly, as text and graphics do, cannot be told from a copy.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from forensics.analysis.blocks import is_smaller, luma
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, State, inconclusive, not_applicable

MIN_SIDE_PX = 64
MAX_PIXELS = 1_000_000  # larger pictures are reduced to this: SIFT's time grows with the area
MAX_KEYPOINTS = 4_000  # 16 million distances
CONTRAST = 0.02  # of SIFT's key points: half of the usual 0.04, for copies of faint texture
# The g2NN ratio of Amerini et al. is 0.5; somewhat more for copies that were compressed since.
MATCH_RATIO = 0.6
NEIGHBOURS = 8
# Matches of a point with its own surroundings are edges and blobs, not copies.
MIN_DISTANCE_PX = 24.0
CLUSTER_PX = 32.0
MAX_CLUSTERS = 8
MIN_MATCHES = 4
RANSAC_PX = 2.5
SCALES = (0.5, 2.0)  # a copy that was scaled beyond keeps too few points to be told from chance
CORRELATION_PX = 13
MIN_CORRELATION = 0.92
# Grey levels: a smooth ramp correlates with any other.
MIN_SPREAD = 4.0
MIN_AREA_PX = 300
SUSPICIOUS_MATCHES = 6
INCONSISTENT_MATCHES = 8
# More different copies than this is what facades, tiles, text and fabric look like.
MAX_COPIES = 4
CHUNK = 1_000


@dataclass(frozen=True, eq=False)
class Copy:
    """Two areas that correlate: matrix (2, 3) maps places of one to the other, matches are the key points that agree on it,
    mask (h, w) bool the first area, correlation its mean."""

    matrix: NDArray[np.float64]
    matches: int
    mask: NDArray[np.bool_]
    correlation: float


def reduced(gray: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The picture at MAX_PIXELS at most, and its pixels per pixel of the original."""
    scale = min(1.0, (MAX_PIXELS / gray.size) ** 0.5)
    if scale == 1.0:
        return gray, 1.0
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def matched_points(gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Places of key points and of those that resemble them: (n, 4) x, y, x', y', each pair in both directions."""
    finder = cv2.SIFT_create(nfeatures=MAX_KEYPOINTS, contrastThreshold=CONTRAST)  # type: ignore[attr-defined]
    keypoints, descriptors = finder.detectAndCompute(gray, None)
    if descriptors is None or len(keypoints) < 2 * MIN_MATCHES:
        return np.zeros((0, 4))
    keypoints, descriptors = keypoints[:MAX_KEYPOINTS], descriptors[:MAX_KEYPOINTS]
    places = np.array([point.pt for point in keypoints], np.float64)
    unit = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)
    pairs = [_g2nn(unit, places, start) for start in range(0, len(unit), CHUNK)]
    return np.unique(np.concatenate(pairs), axis=0)


def _g2nn(unit: NDArray[np.float32], places: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """Pairs of a chunk of key points: each neighbour in turn is a match while it is much nearer than the next."""
    own = slice(start, start + CHUNK)
    squared = np.maximum(2 - 2 * unit[own] @ unit.T, 0)
    near = np.abs(places[own, None, 0] - places[None, :, 0]) < MIN_DISTANCE_PX
    near &= np.abs(places[own, None, 1] - places[None, :, 1]) < MIN_DISTANCE_PX
    squared[near] = np.inf
    count = min(NEIGHBOURS, len(unit) - 1)
    nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
    distances = np.take_along_axis(squared, nearest, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    nearest, distances = np.take_along_axis(nearest, order, 1), np.sqrt(np.take_along_axis(distances, order, 1))
    found = []
    with np.errstate(invalid="ignore"):
        for rank in range(count - 1):
            is_match = np.isfinite(distances[:, rank]) & (distances[:, rank] < MATCH_RATIO * distances[:, rank + 1])
            rows = np.flatnonzero(is_match)
            for earlier in range(rank + 1):
                found.append(np.hstack([places[start + rows], places[nearest[rows, earlier]]]))
    return np.concatenate(found) if found else np.zeros((0, 4))


def agreeing(pairs: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Clusters of pairs whose two ends lie together, each with the affine map (2, 3) that most agree on; the largest first.

    Both directions of a pair are given: only one of the two clusters is kept.
    """
    # One direction of each pair: from left to right, or from above in the same column.
    forward = (pairs[:, 0] < pairs[:, 2]) | ((pairs[:, 0] == pairs[:, 2]) & (pairs[:, 1] < pairs[:, 3]))
    ahead = pairs[forward]
    behind = pairs[~forward][:, [2, 3, 0, 1]]
    one_way = np.unique(np.concatenate([ahead, behind]), axis=0)
    if len(one_way) < MIN_MATCHES:
        return []
    labels = DBSCAN(eps=CLUSTER_PX, min_samples=3).fit_predict(one_way)
    names, sizes = np.unique(labels[labels >= 0], return_counts=True)
    found = []
    for name in names[np.argsort(-sizes, kind="stable")][:MAX_CLUSTERS]:
        cluster = one_way[labels == name]
        here, there = (np.ascontiguousarray(cluster[:, part], np.float32) for part in (slice(2), slice(2, 4)))
        # RANSAC draws from a generator of its own with a fixed seed: the same pairs give the same map.
        matrix, agrees = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PX)
        if matrix is None or not np.isfinite(matrix).all():
            continue
        area = abs(float(np.linalg.det(matrix[:, :2])))
        inliers = cluster[agrees.ravel() > 0]
        if SCALES[0] ** 2 <= area <= SCALES[1] ** 2 and len(np.unique(inliers[:, :2], axis=0)) >= MIN_MATCHES:
            found.append((inliers, np.asarray(matrix, np.float64)))
    return found


def local_correlation(gray: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Correlation of the surroundings of each place with those of the place that the matrix maps it to.

    gray: (H, W) uint8. Returns (H, W) float32 in [-1, 1]; 0 where either is flat or lies outside.
    """
    first = gray.astype(np.float32)
    height, width = gray.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    second = cv2.warpAffine(first, matrix, (width, height), flags=flags, borderValue=-1.0e3)
    inside = second >= 0
    second[~inside] = 0
    window = (CORRELATION_PX, CORRELATION_PX)
    mean_1, mean_2 = cv2.blur(first, window), cv2.blur(second, window)
    variance_1 = cv2.blur(first * first, window) - mean_1**2
    variance_2 = cv2.blur(second * second, window) - mean_2**2
    product = cv2.blur(first * second, window) - mean_1 * mean_2
    busy = inside & (np.minimum(variance_1, variance_2) > MIN_SPREAD**2)
    return (
        np.where(busy, product / np.sqrt(np.maximum(variance_1 * variance_2, 1e-6)), 0).clip(-1, 1).astype(np.float32)
    )


def verified(gray: NDArray[np.uint8], inliers: NDArray[np.float64], matrix: NDArray[np.float64]) -> Copy | None:
    """The copy that the matches tell of, if the areas around them correlate; None otherwise."""
    correlation = local_correlation(gray, matrix)
    alike = (correlation >= MIN_CORRELATION).astype(np.uint8)
    _, labels = cv2.connectedComponents(alike, connectivity=4)
    columns = np.clip(np.rint(inliers[:, 0]).astype(int), 0, gray.shape[1] - 1)
    rows = np.clip(np.rint(inliers[:, 1]).astype(int), 0, gray.shape[0] - 1)
    hit = labels[rows, columns]
    mask = np.isin(labels, np.unique(hit[hit > 0])) & (alike > 0)
    matches = len(np.unique(inliers[hit > 0, :2], axis=0))
    if matches < MIN_MATCHES or mask.sum() < MIN_AREA_PX:
        return None
    return Copy(matrix, matches, mask, float(correlation[mask].mean(dtype=np.float64)))


def find_copies(gray: NDArray[np.uint8]) -> list[Copy]:
    """Copies in a picture (H, W) uint8, the one with the most matches first."""
    candidates = (verified(gray, inliers, matrix) for inliers, matrix in agreeing(matched_points(gray)))
    return sorted((copy for copy in candidates if copy is not None), key=lambda copy: -copy.matches)


def examine(picture: Picture) -> Finding:
    """State, and a map of both areas."""
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    gray, scale = reduced(luma(picture.pixels))
    if is_smaller(np.empty((*gray.shape, 0), np.uint8), MIN_SIDE_PX):
        return inconclusive("The picture is too narrow to be reduced to a size at which copies can be looked for.")
    copies = find_copies(gray)
    values = np.zeros(gray.shape, np.float32)
    for copy in copies:
        there = cv2.warpAffine(copy.mask.astype(np.uint8), copy.matrix, gray.shape[::-1], flags=cv2.INTER_NEAREST)
        values[copy.mask | (there > 0)] = 1.0
    maps = (Map("copy-move", values, "Areas that correlate with another area of the same picture, and those areas."),)
    measures: dict[str, float | int | str | bool | None] = {"copies": len(copies), "analysed_scale": scale}
    if not copies:
        said = (
            f"No two areas of the picture agree on {MIN_MATCHES} key points and correlate by {MIN_CORRELATION} or more."
        )
        return Finding("consistent", said, measures, 0.0, maps)
    best = copies[0]
    rows, columns = np.flatnonzero(best.mask.any(1)), np.flatnonzero(best.mask.any(0))
    centre = np.array([columns.mean(), rows.mean(), 1.0])
    shift = (best.matrix @ centre - centre[:2]) / scale
    measures |= {
        "matches": best.matches,
        "correlation": best.correlation,
        "area_px": float(best.mask.sum()) / scale**2,
        "shift_x_px": float(shift[0]),
        "shift_y_px": float(shift[1]),
    }
    said = (
        f"The area at x {columns[0] / scale:.0f} to {columns[-1] / scale:.0f}, y {rows[0] / scale:.0f} to "
        f"{rows[-1] / scale:.0f} px "
        f"recurs {shift[0]:+.0f}, {shift[1]:+.0f} px away: {best.matches} key points agree, and "
        f"{measures['area_px']:.0f} square "
        f"pixels correlate by {best.correlation:.3f} on average."
    )
    statistic = float(best.matches)
    if len(copies) > MAX_COPIES:
        said += (
            f" {len(copies)} different pairs of areas do so, as in what repeats by design: copies cannot be "
            "told from that."
        )
        return Finding("inconclusive", said, measures, statistic, maps)
    state: State = (
        "inconsistent"
        if best.matches >= INCONSISTENT_MATCHES
        else "suspicious"
        if best.matches >= SUSPICIOUS_MATCHES
        else "consistent"
    )
    if state == "consistent":
        said += f" Fewer than {SUSPICIOUS_MATCHES} key points are consistent with things that look alike."
    return Finding(state, said, measures, statistic, maps)


ANALYSIS = Analysis[Picture](
    name="copy-move",
    title="Copied areas",
    family="geometry",
    needs="picture",
    question="Does an area of the picture recur elsewhere in it, pixel by pixel?",
    method="Key points that resemble each other are matched and grouped by the affine map they agree on; the "
    "two areas are then "
    "laid over each other and correlated.",
    citation="Amerini, Ballan, Caldelli, Del Bimbo, Serra: A SIFT-Based Forensic Method for Copy-Move Attack Detection and "
    "Transformation Recovery, IEEE TIFS 6(3) (2011)",
    limits="Blind to copies of smooth or small areas; large pictures are reduced to one megapixel first.",
    benign=(
        "things that are made alike: windows, tiles, prints, text, icons",
        "a reflection, a pattern or a frame that repeats",
        "dust or a blemish removed with a clone tool",
    ),
    parameters={
        "max_pixels": MAX_PIXELS,
        "max_keypoints": MAX_KEYPOINTS,
        "match_ratio": MATCH_RATIO,
        "min_correlation": MIN_CORRELATION,
        "suspicious_matches": SUSPICIOUS_MATCHES,
        "inconsistent_matches": INCONSISTENT_MATCHES,
        "max_copies": MAX_COPIES,
    },
    examine=examine,
)
