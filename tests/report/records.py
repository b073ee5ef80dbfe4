"""Records with known content for the tests of the report: a video of several faces, an image, a failure."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forensics.common.outcomes import Outcome
from forensics.report.pictures import MomentPicture
from forensics.report.record import (
    ClockPart,
    DetectorPart,
    EnvironmentPart,
    InputPart,
    Interval,
    MediaPart,
    ModelPart,
    MomentPart,
    OperatingPoint,
    Record,
    SamplePart,
    TrackPart,
    VerdictPart,
)

STEP_S = 0.25  # four samples a second
ENVIRONMENT = EnvironmentPart(
    tool_version="0.1.0",
    python="3.11.2",
    platform="Linux-6.1-x86_64",
    device="cpu",
    libraries={"torch": "2.10.0", "opencv": "5.0.0", "av": "14.2.0"},
    ffmpeg={"libavcodec": "61.19.100", "libavformat": "61.7.100"},
)
CLOCK = ClockPart(
    started_utc="2025-03-04T10:00:00Z",
    finished_utc="2025-03-04T10:00:12Z",
    wall_s=12.25,
    stages_s={"decode": 3.5, "faces": 5.25, "detectors": 3.5},
)
MODEL = ModelPart(
    name="efficientnet-lite0",
    version="1",
    licence="Apache-2.0",
    trained_on="DFDC preview crops",
    files={"cnn.safetensors": "ab" * 32, "calibration.json": "cd" * 32},
)
OPERATING_POINT = OperatingPoint(
    threshold_fake=0.8,
    threshold_real=0.25,
    test_set="DFDC preview, test split (412 videos)",
    false_positive_rate=Interval(value=0.031, low=0.014, high=0.066, n=193),
    false_negative_rate=Interval(value=0.0, low=0.0, high=0.017, n=219),
    false_positive_rates={"DFDC": Interval(value=0.031, low=0.014, high=0.066, n=193)},
)


def make_crop(seed: int = 0, side: int = 64) -> NDArray[np.uint8]:
    """A smooth (side, side, 3) uint8 picture, different for every seed."""
    y, x = np.mgrid[0:side, 0:side] / side
    return np.stack([x * 255, y * 255, np.full_like(x, seed * 37 % 256)], -1).astype(np.uint8)


def crop_sha256(crop: NDArray[np.uint8]) -> str:
    """As record.py words it: SHA-256 of the RGB pixels in row order."""
    return hashlib.sha256(crop.tobytes()).hexdigest()


def make_track(number: int, level: float, samples: int = 40, first_s: float = 0.0) -> TrackPart:
    """A track whose scores swing by 0.1 around `level`, highest at sample 6."""
    parts = []
    for index in range(samples):
        score = round(min(max(level + 0.1 * math.cos((index - 6) / 5), 0.0), 1.0), 4)
        parts.append(
            SamplePart(
                timestamp_s=round(first_s + index * STEP_S, 4),
                box=(10.0, 20.0, 110.0, 140.0),
                confidence=0.99,
                found_by="detected" if index % 4 == 0 else "tracked",
                crop_px=118,
                scores={"default": score, "cnn": score, "spectrum": 0.4},
            )
        )
    return TrackPart(
        id=number,
        first_s=parts[0].timestamp_s,
        last_s=parts[-1].timestamp_s,
        median_crop_px=118.0,
        outcome=Outcome.SCORED,
        probability=level,
        scores={"default": level, "cnn": level, "spectrum": 0.4},
        sharpness=212.5,
        samples=parts,
    )


def make_verdict(probability: float | None = 0.86, top_track: int | None = 1) -> VerdictPart:
    """The verdict that the thresholds of OPERATING_POINT give."""
    label = "inconclusive"
    if probability is not None and probability >= OPERATING_POINT.threshold_fake:
        label = "likely fake"
    elif probability is not None and probability <= OPERATING_POINT.threshold_real:
        label = "likely real"
    return VerdictPart(
        label=label,
        probability=probability,
        prior=0.5,
        likelihood_ratio=19.0 if probability is not None else None,
        reasons=["The fused score lies above the threshold in 34 of 40 samples.", "Two detectors agree."],
        top_track=top_track,
        key_moment_s=6 * STEP_S,
        operating_point=OPERATING_POINT,
    )


def make_media(kind: str = "video", duration_s: float = 10.0) -> MediaPart:
    is_video = kind == "video"
    return MediaPart(
        kind=kind,
        container="mov" if is_video else "JPEG",
        extension_matches=True,
        codec="h264" if is_video else "jpeg",
        width=1280,
        height=720,
        rotation_deg=0,
        frames_claimed=300 if is_video else None,
        frames_found=300 if is_video else 1,
        frames_decoded=300 if is_video else 1,
        frames_analysed=40 if is_video else 1,
        duration_s=duration_s if is_video else 0.0,
        mean_fps=29.97 if is_video else None,
        is_variable_rate=False,
        has_audio=is_video,
        sampling="4 per second, at most 240" if is_video else "the picture itself",
        is_complete=True,
        errors=[],
    )


def make_record(name: str = "interview.mp4", **changes: object) -> Record:
    """A video with three tracks of 40 samples, called likely fake; `changes` replace whole parts of it."""
    parts: dict[str, object] = {
        "input": InputPart(
            name=name,
            path=f"evidence/{name}",
            size_bytes=4_812_345,
            sha256="12" * 32,
            sha256_after="12" * 32,
            view="scene",
        ),
        "outcome": Outcome.SCORED,
        "message": "",
        "hint": "",
        "media": make_media(),
        "verdict": make_verdict(),
        "detectors": [
            DetectorPart(
                name="default",
                score=0.86,
                is_calibrated=True,
                weight=None,
                description="Logistic fusion of the detectors.",
            ),
            DetectorPart(
                name="cnn", score=0.91, is_calibrated=True, weight=1.42, description="EfficientNet-Lite0 on face crops."
            ),
            DetectorPart(
                name="spectrum", score=0.4, is_calibrated=False, weight=0.31, description="Azimuthal power spectrum."
            ),
        ],
        "tracks": [make_track(1, 0.86), make_track(2, 0.5, first_s=0.5), make_track(3, 0.12)],
        "moments": [],
        "model": MODEL,
        "environment": ENVIRONMENT,
        "configuration": {
            "fps": 4.0,
            "max_frames": 240,
            "heatmaps": True,
            "detectors": ["cnn", "spectrum"],
            "case": None,
        },
        "configuration_sha256": "ef" * 32,
        "clock": CLOCK,
    }
    return Record.model_validate({**parts, **changes})


def make_shown_record(
    name: str = "interview.mp4", indices: Sequence[int] = (6, 7, 20, 38), **changes: object
) -> tuple[Record, list[MomentPicture]]:
    """make_record with moments at these samples of track 1, and their pictures with a hot spot in the middle."""
    heat = np.zeros((7, 7), np.float32)
    heat[2:5, 2:5] = 0.6
    heat[3, 3] = 1.0
    track = make_track(1, 0.86)
    moments, pictures = [], []
    for index in indices:
        sample, crop = track.samples[index], make_crop(index)
        pictures.append(MomentPicture(1, sample.timestamp_s, crop, heat))
        moments.append(
            MomentPart(
                track=1,
                timestamp_s=sample.timestamp_s,
                probability=sample.scores["default"],
                crop_sha256=crop_sha256(crop),
            )
        )
    return make_record(name, moments=moments, **changes), pictures


def make_failure(name: str = "broken.mp4", outcome: Outcome = Outcome.UNREADABLE) -> Record:
    """A record in which everything that can be missing is missing."""
    return make_record(
        name,
        input=InputPart(name=name, path=name, size_bytes=None, sha256=None, sha256_after=None, view="scene"),
        outcome=outcome,
        message="the file is empty",
        hint="check that the download or copy was completed",
        media=None,
        verdict=None,
        detectors=[],
        tracks=[],
        model=None,
    )
