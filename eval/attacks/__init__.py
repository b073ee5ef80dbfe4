"""Adversarial attacks on detectors: small changes of pixels that move a picture over the threshold to the other class.

An attack knows one function, `logits`: (N, 3, H, W) float32 in [0, 1] -> (N,), greater = more likely fake, with resize
and normalisation inside, and its gradient with respect to the pixels. A fake (label 1) is to look real, a real to look
fake. For one logit the binary loss against the true label grows exactly as the logit moves the wrong way, so the attacks
follow the logit itself where the two have the same direction: the loss's own gradient vanishes on confident detectors,
which would look like robustness (Carlini et al. 2019, arXiv 1902.06705, on gradient masking).

    fgsm         Goodfellow, Shlens, Szegedy 2015, arXiv 1412.6572
    pgd, pgd-l2  Madry et al. 2018, arXiv 1706.06083
    pgd-8bit     the same on the grid of 8-bit pictures, so that saving as PNG changes nothing
    pgd-robust   expectation over transformations (Athalye et al. 2018, arXiv 1707.07397): JPEG and resize; the gradient of
                 real JPEG is taken to be that of the identity (Athalye, Carlini, Wagner 2018, arXiv 1802.00420)
    patch        one universal square (Brown et al. 2017, arXiv 1712.09665) on 1 % of the area, as Carlini and Farid 2020,
                 arXiv 2004.00622, used against detectors of synthetic faces
    noise        no attack: random signs of the same size, to tell what any change does from what the gradient does

Why not a library: torchattacks 3.5 and Foolbox 3.3 want one output per class and cross-entropy, whose gradient vanishes
where these detectors are sure, and the first pins an old `requests`, the second has had no release since 2024; ART 1.20
knows binary classifiers, but none of them projects onto the 8-bit grid, has a straight-through JPEG, or keeps the random
stream of a picture apart from its batch. What is left of FGSM and PGD is a loop of twenty lines.

Limits: success is a lower bound on what an attacker can do, failure no proof of robustness; white-box attacks assume the
weights are known, as those of a published tool are.
"""

from eval.attacks.gradient import ascend, fooling_margin
from eval.attacks.kinds import ATTACKS, Attack, AttackKind, Logits, make_attack
from eval.attacks.patch import Patch, apply_patch, train_patch
from eval.attacks.pictures import Crafted, craft_pictures, logits_of
from eval.attacks.quantisation import largest_change, quantise, rms_change

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackKind",
    "Crafted",
    "Logits",
    "Patch",
    "apply_patch",
    "ascend",
    "craft_pictures",
    "fooling_margin",
    "largest_change",
    "logits_of",
    "make_attack",
    "quantise",
    "rms_change",
    "train_patch",
]
