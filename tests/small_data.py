"""A very small data set in APTOS's layout, whose grade is the brightness of the picture, and a recipe to match."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.recipe import Recipe

RECIPE = Recipe(
    backbone="test_resnet",
    weights="none",
    input_size=32,
    epochs=3,
    batch_size=8,
    learning_rate=3e-3,
    schedule="onecycle",
    split="folds",
    folds=2,
)


def write_images(folder: Path, ids: list[str], grades: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name, grade in zip(ids, grades, strict=True):
        noise = random.normal(40 + 40 * grade, 12, (44, 52, 3))
        cv2.imwrite(str(folder / f"{name}.png"), noise.clip(0, 255).astype(np.uint8))


def write_small_aptos(raw: Path, n: int = 60, n_test: int = 12) -> Path:
    """`raw` with train.csv, test.csv, sample_submission.csv and images of 44 × 52 pixels."""
    grades = np.arange(n) % 5
    ids = [f"{i:012x}" for i in range(n)]
    test_ids = [f"{i:012x}" for i in range(1000, 1000 + n_test)]
    write_images(raw / "train_images", ids, grades, seed=0)
    write_images(raw / "test_images", test_ids, np.arange(n_test) % 5, seed=1)
    pd.DataFrame({"id_code": ids, "diagnosis": grades}).to_csv(raw / "train.csv", index=False)
    pd.DataFrame({"id_code": test_ids}).to_csv(raw / "test.csv", index=False)
    pd.DataFrame({"id_code": test_ids, "diagnosis": 0}).to_csv(raw / "sample_submission.csv", index=False)
    return raw


def fields_as_words(recipe: Recipe) -> list[str]:
    """The recipe as command-line words."""
    words = []
    for name, value in recipe.to_dict().items():
        if value not in ("", ()):
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words
