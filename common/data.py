"""A competition's raw folder as one table with folds: what is trained on, what it is scored on, and its fingerprint."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.competition import Competition
from common.copies import same_content
from common.errors import UserError
from common.files import content_hash
from common.labels import label_array, rarest_class
from common.options import Options
from common.prepare import concatenate, prepare
from common.reader import reader_of
from common.recipe import Recipe
from common.splits import grouped_folds

ALWAYS_TRAIN, LEFT_OUT = -1, -2
CACHED_AS = {"pseudo": "test"}
"""Rows with pseudo-labels are test images, and share their cache."""


@dataclass(frozen=True)
class SoftLabels:
    """Predictions of another run, (n,) or (n, K) as it stores them, for the images `ids`: they count `share` in the
    targets of these rows, beside their labels, when `fold` is trained (None: any)."""

    ids: np.ndarray
    predictions: np.ndarray
    share: float
    fold: int | None = None


@dataclass(frozen=True)
class Data:
    """The training rows of a run.

    `table` has one row an image: `id`, `path`, `label`, `group` where there are groups, `source` ("train", "external"
    or "pseudo"), `fold`: the fold in which the row is validated, -1 where it is trained on in every fold, -2 where it
    does neither; `distrusted`, where a row is validated and never trained on; and for folds of our own `content`, the
    same number in rows whose files are the same: no fold trains on a copy of what it validates.

    `source` is the fingerprint of the competition's own training table: runs that share it have seen the same images.
    `test` is the test set (`id`, `path`) where a recipe has to know it: no external image may be one of it. `mark` says
    that the rows are sample data or lack a practice test set; empty for a download as it is.
    """

    table: pd.DataFrame
    folds: tuple[int, ...]
    fingerprint: str
    source: str
    test: pd.DataFrame | None = None
    soft: tuple[SoftLabels, ...] = field(default=())
    mark: str = ""

    def without(self, ids) -> "Data":
        """The same without some ids (bad images that were skipped); the fingerprint stays that of the source."""
        kept = self.table[~self.table["id"].isin(set(ids))].reset_index(drop=True)
        return replace(self, table=kept)

    def left_out(self, rows: np.ndarray) -> "Data":
        """The same with some rows, bool (n,), neither trained on nor validated; they keep their places."""
        return replace(self, table=self.table.assign(fold=self.table["fold"].mask(rows, LEFT_OUT)))

    def train_rows(self, fold: int) -> np.ndarray:
        trains = ~self.table["fold"].isin([fold, LEFT_OUT]) & ~self.table["distrusted"]
        if "content" in self.table:
            trains &= ~self.table["content"].isin(self.table["content"].to_numpy()[self.valid_rows(fold)])
        return np.flatnonzero(trains)

    def valid_rows(self, fold: int) -> np.ndarray:
        return np.flatnonzero(self.table["fold"].to_numpy() == fold)


def read_data(competition: Competition, train: pd.DataFrame, recipe: Recipe, test: pd.DataFrame | None = None) -> Data:
    """Adds external rows and folds to a competition's training table. No external row is one of `test` either.

    Raises:
        UserError: from the readers; or the competition has no external data, or its folds cannot be made.
    """
    source = fingerprint(competition, train.assign(source="train"))
    train = train.assign(source="train", fold=assign_folds(competition, train, recipe))
    whole = (train["fold"] != LEFT_OUT).all()
    train = train[train["fold"] != LEFT_OUT].reset_index(drop=True)
    if recipe.split == "folds":  # the paper's split is kept as published, with what copies there are
        train["content"] = same_content(image_files(competition, train))
    if recipe.external:
        known = train if test is None else pd.concat([train, test])
        train = pd.concat([train, read_external(competition, recipe, known)], ignore_index=True)
    every = range(recipe.folds) if recipe.split == "folds" else (0,)
    folds = recipe.only_folds or tuple(every)
    # The same rows have the same fingerprint: it is a look at every file.
    own = source if whole and not recipe.external else fingerprint(competition, train)
    return Data(train.assign(distrusted=False), folds, own, source, test)


def assign_folds(competition: Competition, train: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """(n,) int: the fold that validates each row; with the paper's split 0 validates, -1 trains and -2 does
    neither."""
    if recipe.split == "paper":
        if competition.paper_split is None:
            raise UserError(f"split 'paper': {competition.name} has no split of the paper; use --split folds or all")
        validates = competition.paper_split(train)
        return np.where(validates == LEFT_OUT, LEFT_OUT, np.where(validates, 0, ALWAYS_TRAIN))
    if recipe.split == "all":
        return np.full(len(train), ALWAYS_TRAIN)
    return balanced_folds(competition, train, recipe.folds, recipe.seed)


def balanced_folds(competition: Competition, train: pd.DataFrame, k: int, seed: int) -> np.ndarray:
    """(n,) int in 0..k-1: groups kept apart, classes (of a multi-label row its rarest) spread evenly."""
    labels = label_array(train["label"], competition.task, len(competition.classes))
    if labels.ndim == 2:
        labels = rarest_class(labels)
    groups = train["group"].to_numpy() if "group" in train else None
    return grouped_folds(labels, groups, k, seed)


def read_external(competition: Competition, recipe: Recipe, known: pd.DataFrame) -> pd.DataFrame:
    """The external rows, trained on and never validated on: without those whose id or group is a known row's."""
    if competition.read_external is None:
        raise UserError(f"external: {competition.name} has no external data")
    external = competition.read_external(Path(recipe.external))
    for column in {"id", "group"} & set(external) & set(known):
        external = external[~external[column].isin(set(known[column]))]
    if external.empty:
        raise UserError(f"external: every row of {recipe.external} is a training row already; leave out --external")
    return external.assign(source="external", fold=ALWAYS_TRAIN)


def fingerprint(competition: Competition, table: pd.DataFrame) -> str:
    """12 hex digits over ids, labels, groups and the sizes of the images' files in bytes: the same on every machine.

    Folds are left out: they follow from these and the recipe.
    """
    columns = [name for name in ("id", "label", "group", "source", "tfrecord", "part", "split") if name in table]
    rows = pd.util.hash_pandas_object(table[columns].astype(str), index=False).to_numpy()
    images = image_files(competition, table)
    sizes = [sum(file.stat().st_size if file.is_file() else -1 for file in files) for files in images]
    return content_hash([rows.tolist(), sizes])


def image_files(competition: Competition, table: pd.DataFrame) -> list[list[Path]]:
    """The files that the image of each row is made of."""
    files = competition.image_files or (lambda path: [Path(path)])
    return [files(path) for path in table["path"]]


def prepared(competition: Competition, table: pd.DataFrame, recipe: Recipe, options: Options):
    """The caches of a table's sources, joined in its order, and the list of skipped (id, path, reason)."""
    read = reader_of(competition, recipe.channels, recipe.preparation)
    kind = "" if recipe.channels == 3 else f"-{recipe.channels}ch"
    kind += "" if recipe.preparation == "plain" else f"-{recipe.preparation}"
    caches = [
        prepare(
            rows[["id", "path"]],
            f"{competition.name}-{CACHED_AS.get(source, source)}{kind}",
            recipe.input_size,
            options.cache,
            format=options.cache_format,
            workers=options.workers if options.workers > 0 else None,
            skip_bad=options.skip_bad,
            read=read,
        )
        for source, rows in table.groupby("source", sort=False)
    ]
    skipped = [tuple(entry) for cache in caches for entry in cache.skipped]
    return concatenate(caches), skipped
