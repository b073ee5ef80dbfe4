"""The CNN has no preferred side: a crop and its mirror image get one score, and mirrored maps."""

import numpy as np
import torch
from torch import nn

from forensics.detectors.cnn import CnnDetector
from forensics.detectors.cnn_network import FaceCnn, NetworkDetector


def test_a_mirror_image_scores_the_same_and_maps_to_the_mirror_image(portrait):
    torch.manual_seed(0)
    network = FaceCnn("test_efficientnet", 64)
    nn.init.normal_(network.backbone.get_classifier().weight, std=0.5)
    crop = np.ascontiguousarray(portrait[30:190, 150:310])
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    detector = CnnDetector(network, torch.device("cpu"))
    one_sided = NetworkDetector(network, torch.device("cpu"))
    as_is, flipped = detector.score([crop, mirrored])
    np.testing.assert_allclose(as_is, flipped, atol=1e-6)
    assert np.ptp(one_sided.score([crop, mirrored])) > 1e-4, "the network itself does prefer a side"
    heat, flipped_heat = detector.explain([crop, mirrored])
    np.testing.assert_allclose(heat[:, ::-1], flipped_heat, atol=1e-5)
