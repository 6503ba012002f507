"""What the tests of leaks ask of a split, and competitions with other labels or other external rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.competition import Competition
from common.data import Data


def shared_by_both_sides(data: Data, fold: int, columns: tuple[str, ...]) -> dict[str, set]:
    """Column → values that stand both among the rows a fold trains on and among those that it validates."""
    train, valid = data.table.iloc[data.train_rows(fold)], data.table.iloc[data.valid_rows(fold)]
    both = {name: set(train[name].dropna()) & set(valid[name].dropna()) for name in columns if name in data.table}
    return {name: values for name, values in both.items() if values}


def with_labels(competition: Competition, change) -> Competition:
    """The same with the labels `change(table)` in place of its own."""
    return replace(competition, read_train=lambda raw: relabelled(competition.read_train(raw), change))


def relabelled(table: pd.DataFrame, change) -> pd.DataFrame:
    return table.assign(label=change(table))


def shuffled(table: pd.DataFrame) -> np.ndarray:
    return np.random.default_rng(7).permutation(table["label"].to_numpy())


def with_copies(competition: Competition) -> Competition:
    """External rows: those of the training table under other names, and ten training and five test rows as they are."""

    def read_external(raw: Path) -> pd.DataFrame:
        train = competition.read_train(raw)
        strangers = train.assign(id="other-" + train["id"])
        if "group" in train:
            strangers["group"] = "other-" + strangers["group"]
            strangers = pd.concat([strangers, train.head(30).assign(id=[f"same-patient-{i}" for i in range(30)])])
        test = competition.read_test(raw) if competition.read_test else train.tail(0)
        copies = [train.head(10), test.head(5).assign(label=train["label"].iloc[0])]
        return pd.concat([strangers, *copies], ignore_index=True)

    return replace(competition, read_external=read_external)
