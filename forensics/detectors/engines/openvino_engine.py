"""OpenVINO (docs.openvino.ai) on the CPU, in f32 or bf16.

The model is read from ONNX bytes. `openvino.convert_model` would take the torch module itself, but reports its use to the
maker over the network; this package sends nothing anywhere, and calls only the runtime, which has no such part.
"""

import numpy as np
import torch

from forensics.detectors.engines.choice import Precision


class OpenVinoEngine:
    """Runs the bytes of an ONNX model of `to_onnx`; `threads` CPU threads.

    precision: bf16 only where asked for; without the hint, OpenVINO takes bf16 wherever the processor has it.
    """

    def __init__(self, model: bytes, threads: int, precision: Precision) -> None:
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all threads
            "INFERENCE_NUM_THREADS": threads,
        }
        self._model = core.compile_model(core.read_model(model), "CPU", settings)

    def __call__(self, framed: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 -> (N,) float32."""
        found = self._model(np.ascontiguousarray(framed.numpy()))[0]
        return torch.from_numpy(np.array(found, np.float32))  # a copy: the next call reuses what is returned here
