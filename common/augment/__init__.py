"""Augmentation: one policy object with a continuous strength, from a decoded uint8 image to a square uint8 one."""

from common.augment.policy import NAMES, Policy, Transform, evaluation_transform
from common.augment.sheet import STRENGTHS, contact_sheet

__all__ = ["NAMES", "STRENGTHS", "Policy", "Transform", "contact_sheet", "evaluation_transform"]
