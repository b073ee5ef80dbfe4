"""What `convert`, `swap` and `warp` say about a clip that was made."""

from typing import TYPE_CHECKING

from forensics.cli.lines import print_lines
from forensics.common.text import terminal_line

if TYPE_CHECKING:
    from generators.faceswap.rendering.rendering import Rendering


def show_rendering(done: "Rendering") -> None:
    """Print how much was swapped, what was not and why, and where everything is."""
    lines = [f"{done.swapped} of {done.frames} frames swapped ({done.share:.0%})"]
    if done.filled:
        lines.append(f"{done.filled} of them between two frames that show the face")
    lines += [f"not swapped: {n} frame{'s' if n != 1 else ''}, {reason}" for reason, n in sorted(done.problems.items())]
    lines += [f"the clip is damaged: {error}" for error in done.errors]
    sound = f"{done.sound.codec}, {done.sound.packets} packets as they were" if done.sound.codec else "none"
    lines.append(f"sound: {sound}")
    if done.sound.left_out:
        lines.append(f"without: {done.sound.left_out}")
    lines += [f"clip: {done.output}", f"mask: {done.mask}", f"manifest: {done.manifest}"]
    print_lines(terminal_line(line) for line in lines)
