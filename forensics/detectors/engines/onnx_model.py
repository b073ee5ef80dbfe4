"""A detector's network as an ONNX model: the one form in which it leaves torch, for engines and for `forensics export`.

ONNX (onnx.ai), opset 17: the first with everything that is needed here, and read by runtimes since 2022. The batch is free,
so is the side of tiles; same padding is computed from the picture's size inside the graph.

Written by torch's TorchScript exporter, which takes about a second and keeps sizes free. Its successor, based on
torch.export, needs another package and many times as long, too long for each start of a scan; the price is a deprecation
warning, silenced here.
"""

import io
import warnings

import torch

from forensics.common.errors import UsageError
from forensics.detectors.engines.choice import missing_packages
from forensics.detectors.engines.logit import DetectorLogit, Network, has_free_size

OPSET = 17
INPUT, OUTPUT = "framed", "logit"


def to_onnx(network: Network, averages_mirror: bool, metadata: dict[str, str] | None = None) -> bytes:
    """An ONNX model `framed` (N, 3, H, W) float32 RGB in [0, 1] -> `logit` (N,) float32; H and W are fixed but for tiles.

    metadata: the model's own properties. The network must be on the CPU, and in eval mode. Raises UsageError where the
    package `onnx` is not installed.
    """
    if "onnx" in missing_packages("onnx"):
        raise UsageError("an ONNX model needs the package onnx", "pip install 'deepfake-forensics[onnx]'")
    import onnx

    free = {0: "batch", 2: "height", 3: "width"} if has_free_size(network) else {0: "batch"}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # of deprecation, and that sizes are traced: what is written is checked by its scores
        torch.onnx.export(
            DetectorLogit(network, averages_mirror).eval(),
            (torch.zeros(2, 3, network.input_px, network.input_px),),
            buffer,  # type: ignore[arg-type]  # it takes an open file too
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: free, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written
