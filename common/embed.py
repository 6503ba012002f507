"""Features only: what a pre-trained network makes of every image of a competition, computed once, kept as parquet.

runs/<competition>/embeddings/<hash>/
    recipe.json     the fields that decide the features and the folds
    train.parquet   id, label, fold, group where there are groups, then `e0`, `e1`, … (float32)
    test.parquet    id, then the same, where there is a test set
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.competition import Competition
from common.data import fingerprint, prepared
from common.feed import Feed
from common.files import content_hash, sha256_of_file, write_json
from common.models.build import Network, build
from common.models.folder import chosen_file
from common.options import Options
from common.precision import autocast
from common.predict import evaluation_feed
from common.progress import Progress, clock
from common.recipe import Recipe
from common.stored import write_table

FIELDS = (
    *("backbone", "weights", "pooling", "input_size", "channels", "normalization", "color_order", "preparation"),
    *("split", "folds", "only_folds", "seed"),
)
"""Fields of a recipe that decide the features; the last line decides the column `fold`, and the seed what is random."""


@torch.no_grad()
def embed_rows(network: Network, feed: Feed, what: str) -> torch.Tensor:
    """float32 (n, D) on the feed's device, in the order of its rows: what the classifier is given, in evaluation."""
    device, parts = feed.device, []
    network = network.to(device, memory_format=torch.channels_last).eval()
    with Progress(len(feed.rows), what) as progress:
        for images, rows in feed.epoch(0):
            with autocast(device):
                parts.append(network.embed(network.normalize(images)).float())
            progress.update(len(rows))
    told = f"{what}: {progress.count:,} images in {clock(progress.seconds)}, {progress.rate:,.0f} images/s"
    print(told, file=sys.stderr, flush=True)
    return torch.cat(parts)


def embedded(
    competition: Competition, recipe: Recipe, train: pd.DataFrame, test: pd.DataFrame | None, options: Options
) -> Path:
    """The folder with `train.parquet` and, of a `test` table, `test.parquet`; what is done already is found.

    Args:
        train: `Data.table` of the recipe.

    Raises:
        UserError: the backbone or its weights cannot be had, or an image cannot be read.
    """
    folder = options.runs / competition.name / "embeddings" / identity(competition, recipe, train, test)
    write_json(folder / "recipe.json", {name: getattr(recipe, name) for name in FIELDS})
    kept = ["id", "label", "fold", *(["group"] if "group" in train else [])]
    write_features(folder / "train.parquet", competition, recipe, train, kept, options)
    if test is not None:
        write_features(folder / "test.parquet", competition, recipe, test.assign(source="test"), ["id"], options)
    return folder


def identity(competition: Competition, recipe: Recipe, train: pd.DataFrame, test: pd.DataFrame | None) -> str:
    """12 hex digits over what decides the files; weights count by their content."""
    decides = {name: getattr(recipe, name) for name in FIELDS}
    file = chosen_file(recipe.weights, recipe.backbone)
    if file.is_file():
        decides["weights"] = sha256_of_file(file)
    tables = [fingerprint(competition, table) for table in (train, test) if table is not None]
    return content_hash([competition.name, decides, tables])


def write_features(
    file: Path, competition: Competition, recipe: Recipe, table: pd.DataFrame, kept: list[str], options: Options
) -> None:
    """The features of a table's images beside its columns `kept`, unless the file is there."""
    if file.is_file() and not options.again:
        return
    cache, skipped = prepared(competition, table, recipe, options)
    table = table[~table["id"].isin({image for image, _, _ in skipped})]
    torch.manual_seed(recipe.seed)
    network = build(recipe.with_fields(gradient_checkpointing=False), outputs=1)
    with evaluation_feed(cache, np.arange(len(table)), recipe, options) as feed:
        seen = embed_rows(network, feed, f"embed {file.stem}").cpu().numpy()
    features = pd.DataFrame(seen, columns=[f"e{number}" for number in range(seen.shape[1])])
    whole = pd.concat([table[kept].reset_index(drop=True), features], axis=1)
    write_table(file, whole)


def features_of(table: pd.DataFrame) -> np.ndarray:
    """float32 (n, D): the features of a table that `embedded` wrote."""
    return table.filter(regex=r"^e\d+$").to_numpy(dtype=np.float32, copy=True)
