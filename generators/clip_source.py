"""What a clip that is made from another one keeps of it: the ticks of its clock, and its sound."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from forensics.common.errors import MediaError
from forensics.media.sound import add_sound
from forensics.media.types import MediaLimits, SoundReport
from forensics.perturb.clip import MOST_TICKS_PER_S, TICKS_PER_S


def ticks_of(time_base: tuple[int, int] | None) -> int:
    """Ticks a second of a clock that has all times of a stream with this one."""
    if time_base is None or min(time_base) < 1:
        return TICKS_PER_S
    ticks = time_base[1] // math.gcd(*time_base)  # a tick of 1001/24000 s is 1001 ticks of 1/24000 s
    return ticks if 1 <= ticks <= MOST_TICKS_PER_S else TICKS_PER_S


def with_sound(silent: Path, source: Path, output: Path, tags: Mapping[str, str], limits: MediaLimits) -> SoundReport:
    """Write the pictures of `silent` and the sound of `source` as one file; the pictures alone where reading the sound
    ends the decoder, which the report says. Raises MediaError where these cannot be written either."""
    try:
        return add_sound(silent, source, output, tags, limits)
    except MediaError as error:
        alone = add_sound(silent, silent, output, tags, limits)  # which has no sound, and may need another container
        return replace(alone, left_out=f"the sound, which cannot be carried over: {error.message}")
