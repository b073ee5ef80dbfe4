"""A still picture from untrusted bytes: the format is named, pixels are limited before decoding, orientation is applied.

Runs inside the decoding child when a user's file is scanned, and directly on data sets that a researcher trains on.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.media.sniff import HEAD_BYTES, Format, sniff
from forensics.media.tolerance import strict, tolerant
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits

EXIF_ORIENTATION = 0x0112
# Counter-clockwise degrees that each EXIF orientation asks for (mirrored ones rotate alike).
ROTATION_OF_ORIENTATION = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90}


def decode_image(
    data: bytes, image_format: Format, limits: MediaLimits
) -> tuple[MediaInfo, NDArray[np.uint8], DecodeSummary]:
    """Decode the first picture of a file: (H, W, 3) uint8 RGB, upright.

    A damaged file gives what could be decoded (the rest is grey) with the error in the summary. Raises MediaError where
    nothing can be decoded or the picture has more pixels than allowed.
    """
    try:
        with strict():
            picture = _open(data, image_format)
    except MemoryError:
        raise
    except Exception as error:
        raise MediaError(
            f"not a readable {image_format.name} picture: {_one_line(error)}", "the file may be damaged or cut off"
        ) from error
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise MediaError(
            f"{width} x {height} pixels are more than the limit of {limits.max_pixels}",
            "raise --max-pixels if you trust the file and have the memory",
            Outcome.LIMIT_EXCEEDED,
        )
    errors: list[str] = []
    pixels, rotation = _decode(data, image_format, errors)
    info = MediaInfo(
        kind="image",
        container=image_format.name.lower(),
        codec=image_format.name.lower(),
        width=pixels.shape[1],
        height=pixels.shape[0],
        rotation_deg=rotation,
        frames_claimed=_frames_claimed(picture, errors) if image_format.name in ("GIF", "WEBP", "TIFF") else 1,
    )
    return info, pixels, DecodeSummary(1, 1, tuple(errors), is_complete=not errors)


def _decode(data: bytes, image_format: Format, errors: list[str]) -> tuple[NDArray[np.uint8], int]:
    for one_pass in (strict, tolerant):
        try:
            with one_pass(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture = _open(data, image_format)
                picture.load()
                orientation = _orientation(picture, errors)
                upright = ImageOps.exif_transpose(picture) if orientation != 1 else picture
                pixels = np.array(_eight_bits(upright).convert("RGB"), np.uint8)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  (as above: the second, tolerant pass decides)
            errors.append(_one_line(error))
        else:
            return pixels, ROTATION_OF_ORIENTATION[orientation]
    raise MediaError(
        f"not a readable {image_format.name} picture: {errors[0]}", "the file is damaged beyond its header"
    )


def _open(data: bytes, image_format: Format) -> Image.Image:
    """The picture with its header read, in the format that its bytes show and no other."""
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit comes before the size is known here; decode_image has the user's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=[image_format.name])


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Sixteen bits per pixel are scaled to eight, where Pillow would cut off all that is brighter than 255."""
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))


def _frames_claimed(picture: Image.Image, errors: list[str]) -> int | None:
    try:
        return int(getattr(picture, "n_frames", 1))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  (counting walks through the whole, attacker-made file)
        errors.append(f"counting frames: {_one_line(error)}")
        return None


def _orientation(picture: Image.Image, errors: list[str]) -> int:
    try:
        value = int(picture.getexif().get(EXIF_ORIENTATION, 1))
    except Exception as error:  # noqa: BLE001  (EXIF is attacker-made; a picture without orientation is still a picture)
        errors.append(f"EXIF: {_one_line(error)}")
        return 1
    return value if value in ROTATION_OF_ORIENTATION else 1


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def read_image(path: Path, limits: MediaLimits | None = None) -> NDArray[np.uint8]:
    """A picture of a trusted data set, in this process: (H, W, 3) uint8 RGB. Raises MediaError where it is unreadable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path.name}: {error.strerror}") from error
    image_format = sniff(data[:HEAD_BYTES])
    if image_format.kind != "image":
        raise MediaError(f"{path.name} is a video, a picture was expected")
    return decode_image(data, image_format, limits or MediaLimits())[1]
