"""Augmentation: one policy object with a continuous strength, from a decoded uint8 image to a square uint8 one."""

from common.augment.crop import evaluation_transform
from common.augment.policy import NAMES, Policy

__all__ = ["NAMES", "Policy", "evaluation_transform"]
