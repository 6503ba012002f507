"""Training: the loop of one fold, and a recipe over all its folds."""

from common.train.session import Session
from common.train.train import result, train

__all__ = ["Session", "result", "train"]
