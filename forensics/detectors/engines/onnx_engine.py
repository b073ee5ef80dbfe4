"""ONNX Runtime (onnxruntime.ai) on the CPU, in f32."""

import numpy as np
import torch

from forensics.detectors.engines.onnx_model import INPUT, OUTPUT


class OnnxEngine:
    """Runs the bytes of an ONNX model of `to_onnx`; `threads` CPU threads."""

    def __init__(self, model: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: it warns of what it optimises away
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, framed: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 -> (N,) float32."""
        (logits,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(framed.numpy())})
        return torch.from_numpy(np.asarray(logits, np.float32))
