"""Does augmentation transfer? Three augmentations in fine-tuning and in pre-training (Section 5.1, Appendix G)."""

import pandas as pd

from common.study import tables

FINE_TUNING = ("augmix", "randaugment")
DATA_SETS = ("cct20", "aptos")


def ablation() -> pd.DataFrame:
    """Scores as fractions, one row a model, pre-training and data set.

    Returns:
        Columns `model`, `pretraining`, `imagenet_top1`, `dataset` and `base`, `augmix`, `randaugment`.
    """
    printed = tables.read("augmentation_ablation").reset_index()
    parts = []
    for data_set in DATA_SETS:
        of_set = printed[["model", "pretraining", "imagenet_top1"]].assign(dataset=data_set)
        of_set["imagenet_top1"] /= 100
        for how in ("base", *FINE_TUNING):
            column = printed[f"{data_set}_{how}"]
            of_set[how] = column / 100 if column.max() > 1 else column
        parts.append(of_set)
    return pd.concat(parts, ignore_index=True)


def fine_tuning_gains() -> pd.DataFrame:
    """What each augmentation brings in fine-tuning over the default one: `ablation`, with differences for scores."""
    table = ablation()
    return table.assign(**{how: table[how] - table["base"] for how in FINE_TUNING})


def pretraining_gains() -> pd.DataFrame:
    """What pre-training ResNet-50 with an augmentation brings, over the standard one: differences of fractions.

    Returns:
        Index pre-training × data set; columns `imagenet_top1` and the augmentation in fine-tuning.
    """
    table = ablation()
    resnets = table[table["model"] == "ResNet-50"].set_index(["pretraining", "dataset"]).drop(columns="model")
    standard = resnets.loc["standard"]
    return pd.concat({how: resnets.loc[how] - standard for how in ("AugMix", "RandAugment")}, names=["pretraining"])
