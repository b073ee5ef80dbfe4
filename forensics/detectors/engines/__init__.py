"""What runs a network's forward pass: torch, OpenVINO or ONNX Runtime, behind one switch.

Only scores take an engine. Heatmaps and attacks need gradients and always use torch.
"""
