"""Does other pre-training data help? CLIP models beside the 19 of ImageNet (Section 5.2, Appendix I)."""

import pandas as pd

from common.study import tables
from common.study.tables import IMAGENET, data_sets
from common.study.trend import ABOVE, fit, points

SAME_ARCHITECTURE = {"CLIP-RN50": "ResNet-50", "CLIP-B16": "ViT-B/16"}
"""CLIP model → the ImageNet model that it is compared with where only the pre-training data should differ."""


def gains() -> pd.DataFrame:
    """What CLIP's data bring at the same architecture: score of the CLIP model less the ImageNet model's, fractions."""
    clip, imagenet = tables.scores("clip_by_dataset"), tables.scores()
    names = data_sets(clip)
    rows = {model: clip.loc[model, names] - imagenet.loc[other, names] for model, other in SAME_ARCHITECTURE.items()}
    return pd.DataFrame(rows).T.astype(float)


def above_best() -> pd.DataFrame:
    """Score of each CLIP model less the best ImageNet model's on the data set: positive where it beats all 19."""
    clip, imagenet = tables.scores("clip_by_dataset"), tables.scores()
    names = data_sets(clip)
    return clip[names] - imagenet[names].max()


def residuals() -> pd.DataFrame:
    """Score of each CLIP model less what the line of the ImageNet models above 70% says for its ImageNet top-1."""
    clip, imagenet = tables.scores("clip_by_dataset"), tables.scores()
    left = {}
    for name in data_sets(clip):
        line = fit(*points(imagenet, name, ABOVE).to_numpy().T)
        left[name] = clip[name] - (line.intercept + line.slope * clip[IMAGENET])
    return pd.DataFrame(left)
