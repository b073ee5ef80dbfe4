"""A mark that says what a picture is: to be read on any ground, and nothing else of the picture changed."""

import numpy as np
import pytest

from generators.faceswap.rendering.watermark import FILL_OPACITY, watermarked

SIZES = [(1080, 1920), (1920, 1080), (240, 320), (64, 64)]


def box_of(changed):
    rows, columns = np.nonzero(changed.any(-1))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_it_is_seen_on_any_ground_and_stays_in_one_corner_of_it(height, width, level):
    frame = np.full((height, width, 3), level, np.uint8)
    before = frame.copy()
    marked = watermarked(frame)
    assert (frame == before).all() and marked.dtype == np.uint8
    top, bottom, left, right = box_of(marked != frame)
    assert top > height / 2  # below the face of a portrait
    assert abs((left + right) / 2 - width / 2) < 0.03 * width + 2
    assert right - left < width and bottom < height
    inside = marked[top:bottom, left:right].astype(int)
    assert inside.max() - inside.min() > 60  # contrast of letters, or of their outline


def test_letters_grow_with_the_frame():
    heights = []
    for factor in (1, 2, 4):
        frame = np.zeros((270 * factor, 480 * factor, 3), np.uint8)
        top, bottom, _, _ = box_of(watermarked(frame) > 100)
        heights.append(bottom - top)
    assert heights[0] >= 9
    assert heights[1] / heights[0] == pytest.approx(2, rel=0.2)
    assert heights[2] / heights[1] == pytest.approx(2, rel=0.2)


def test_what_is_behind_shines_through():
    """In the middle of a letter, a tenth more light behind gives less than a tenth more, and never none."""
    dark, light = (watermarked(np.full((1080, 1920, 3), level, np.uint8)) for level in (40, 140))
    whitest = dark.max()
    assert whitest == pytest.approx(255 * FILL_OPACITY + 40 * (1 - FILL_OPACITY), abs=2)
    behind = (light.astype(int) - dark)[dark == whitest]
    assert np.abs(behind - 100 * (1 - FILL_OPACITY)).max() <= 2


def test_the_same_frame_gives_the_same_bytes(portrait):
    marked = watermarked(portrait)
    assert (marked == watermarked(portrait.copy())).all()
    assert (marked != watermarked(portrait, "OTHER")).any()
    assert (marked[:256] == portrait[:256]).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (1000, 20), (16, 2000)])
def test_small_frames_keep_their_shape(shape):
    assert watermarked(np.zeros((*shape, 3), np.uint8)).shape == (*shape, 3)


@pytest.mark.parametrize("text", ["", "künstlich", "two\nlines"])
def test_other_characters_are_an_error(text):
    with pytest.raises(ValueError, match="printable ASCII"):
        watermarked(np.zeros((64, 64, 3), np.uint8), text)
