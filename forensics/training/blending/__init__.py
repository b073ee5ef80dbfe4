"""Pseudo-fakes made of real face crops while training goes on: what a forgery leaves behind, without a forgery."""

from forensics.training.blending.blends import Blend, face_blend, part_blend, pose_distance, self_blend, warp_blend

__all__ = ["Blend", "face_blend", "part_blend", "pose_distance", "self_blend", "warp_blend"]
