"""From a choice to what computes."""

import torch

from forensics.detectors.engines.choice import TORCH, EngineChoice
from forensics.detectors.engines.logit import DetectorLogit, Engine, Network, has_free_size
from forensics.detectors.engines.torch_engine import TorchEngine


def load_engine(network: Network, averages_mirror: bool, device: torch.device, choice: EngineChoice = TORCH) -> Engine:
    """An engine for a network in eval mode; torch's runs the network itself, the others take a copy of its weights now.

    choice: as `resolve_engine` gives it. CPU threads are those that torch has now.
    """
    if choice.name == "openvino":
        from forensics.detectors.engines.onnx_model import to_onnx
        from forensics.detectors.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(to_onnx(network, averages_mirror), torch.get_num_threads(), choice.precision)
    if choice.name == "onnx":
        from forensics.detectors.engines.onnx_engine import OnnxEngine
        from forensics.detectors.engines.onnx_model import to_onnx

        return OnnxEngine(to_onnx(network, averages_mirror), torch.get_num_threads())
    return TorchEngine(DetectorLogit(network, averages_mirror), device, choice, has_free_size(network))
