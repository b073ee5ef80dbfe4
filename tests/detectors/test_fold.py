"""Folding batch norms into convolutions changes the network's form, not its function."""

import pytest
import torch
from torch import nn

from forensics.detectors.cnn_network import FaceCnn, fold_norms


@pytest.mark.parametrize("backbone", ["test_efficientnet", "tf_efficientnet_lite0", "mobilenetv4_conv_small"])
def test_a_folded_network_has_no_norms_left_and_gives_the_same_logits(backbone):
    torch.manual_seed(0)
    network = FaceCnn(backbone, 64).eval()
    nn.init.normal_(network.backbone.get_classifier().weight, std=0.5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = torch.rand(4, 3, 96, 96)
    with torch.no_grad():
        before = network(x)
        fold_norms(network)
        after = network(x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert float(before.std()) > 1e-3
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
