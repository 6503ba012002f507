"""Training: the loop of one fold, and a recipe over all its folds."""

from common.train.train import Session, result, train

__all__ = ["Session", "result", "train"]
