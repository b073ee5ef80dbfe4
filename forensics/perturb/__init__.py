"""What happens to pictures on their way: one implementation for training noise, stability checks and benches.

Every function takes and gives (H, W, 3) uint8 RGB of the same size and is deterministic in its arguments.
"""

from forensics.perturb.picture import add_noise, blur, jpeg, resize_and_restore, shift_colour

__all__ = ["add_noise", "blur", "jpeg", "resize_and_restore", "shift_colour"]
