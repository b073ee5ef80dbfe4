"""What happens to pictures on their way: one implementation for training noise, stability checks and benches.

Every function takes and gives (H, W, 3) uint8 RGB and is deterministic in its arguments. All keep the size but two, which
say so: `crop_borders` and `deliver`. The grid of a robustness bench, with its names and strengths, is
`forensics.perturb.grid`; whole clips are written by `forensics.perturb.clip`.
"""

from forensics.perturb.avc import h264
from forensics.perturb.picture import (
    add_noise,
    blur,
    crop_borders,
    deliver,
    gamma,
    jpeg,
    resize_and_restore,
    shift_colour,
    webp,
)

__all__ = [
    "add_noise",
    "blur",
    "crop_borders",
    "deliver",
    "gamma",
    "h264",
    "jpeg",
    "resize_and_restore",
    "shift_colour",
    "webp",
]
