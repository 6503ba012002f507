"""The most wrong: the held-out images that a run's predictions speak against, as pictures, and where it looked."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch

from common.augment import Policy, evaluation_transform
from common.competition import Competition
from common.images import BadImage
from common.labels import indicator
from common.outputs import outputs_of
from common.predict import Predictor, from_table, metadata_of
from common.reader import SURROUND, reader_of
from common.recipe import Recipe
from common.report.page import picture
from common.report.seen import looked_at
from common.run import Run

SHOWN, SIDE = 24, 144
"""Pictures in the gallery, and their side in pixels."""
AT_ONCE = 8


@dataclass(frozen=True)
class Wrong:
    """One image of the gallery. `image` and `map` are data addresses; `map` is empty where there is none."""

    id: str
    truth: str
    prediction: str
    said: str
    image: str = ""
    map: str = ""
    looked_for: str = ""


def most_wrong(suspects: pd.DataFrame, most: int = SHOWN) -> pd.DataFrame:
    """Of `common.suspects.suspicious_rows`, the worst first: the worst of each label in turn, so that one frequent
    class does not fill the gallery, without those that are decided right."""
    wrong = suspects[suspects["label"].astype(str) != suspects["predicted"].astype(str)]
    turn = wrong.groupby("label").cumcount()
    return wrong.assign(turn=turn).sort_values("turn", kind="stable").head(most).drop(columns="turn")


def gallery(
    competition: Competition, run: Run, rows: pd.DataFrame, images: pd.DataFrame, device: torch.device
) -> tuple[str, list[Wrong]]:
    """What the maps are, in words (empty: there are none), and the pictures of `rows`, see `most_wrong`.

    images: `id`, `path` and what else the competition keeps of its training rows; those that are not there, or cannot
    be read, stay without a picture.
    """
    recipe = run.recipe
    target, what_for = to_explain(competition, recipe, rows)
    seen = evaluated(competition, recipe, rows["id"], images)
    how, maps = attention(competition, run, rows, images, seen, target, device)
    made = []
    for place, row in enumerate(rows.itertuples()):
        image = seen.get(row.id)
        made.append(
            Wrong(
                row.id,
                in_words(competition, row.label),
                in_words(competition, row.predicted),
                said(competition, rows.iloc[[place]]),
                picture(image, SIDE) if image is not None else "",
                overlaid(image, maps[row.id]) if row.id in maps else "",
                what_for[place],
            )
        )
    return how, made


def evaluated(
    competition: Competition, recipe: Recipe, ids: Sequence[str], images: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Id → what the network is shown of the image in evaluation, uint8 (size, size, channels)."""
    read = reader_of(competition, recipe.channels, recipe.preparation)
    view, paths, found = evaluation_transform(recipe.input_size), images.set_index("id")["path"], {}
    for name in ids:
        if name in paths.index:
            try:
                found[name] = view(read(paths[name], recipe.input_size), 0)
            except BadImage:
                continue
    return found


def to_explain(competition: Competition, recipe: Recipe, rows: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """int (n,), the output whose evidence is drawn, and what it stands for: the class that was predicted; in a
    multi-label task the class that is most wrong; the only output there is."""
    outputs, classes = from_table(rows), competition.classes
    if outputs.ndim == 1:
        only = outputs_of(recipe, competition.task, len(classes)) - 1
        what = "a higher grade" if competition.task == "ordinal" else classes[-1]
        return np.full(len(rows), only), [what] * len(rows)
    if competition.task == "multilabel":
        outputs = np.abs(outputs - indicator(rows["label"], len(classes)))
    return outputs.argmax(axis=1), [classes[number] for number in outputs.argmax(axis=1)]


def attention(
    competition: Competition,
    run: Run,
    rows: pd.DataFrame,
    images: pd.DataFrame,
    seen: dict[str, np.ndarray],
    target: np.ndarray,
    device: torch.device,
) -> tuple[str, dict[str, np.ndarray]]:
    """How it was made, and id → float32 (h, w) in [0, 1], by the network that held the row out; images in which nothing
    stands out have none."""
    recipe, weights = run.recipe, dict(reversed(run.weights()))  # the best of each fold
    if not weights or not seen or recipe.loss == "arcface":
        return "", {}
    beside = metadata_of(competition, recipe, images.head(1), torch.device("cpu"))
    predictor, how, maps = Predictor(competition, recipe, [device], beside), "", {}
    for fold, part in rows.assign(target=target).groupby("fold"):
        here = part[part["id"].isin(seen)]
        if fold not in weights or here.empty:
            continue
        predictor.load(weights[fold])
        network = predictor.replicas[0].network
        for first in range(0, len(here), AT_ONCE):
            batch = here.iloc[first : first + AT_ONCE]
            shown = torch.from_numpy(np.stack([seen[name] for name in batch["id"]])).permute(0, 3, 1, 2).to(device)
            found = looked_at(network, shown, torch.tensor(batch["target"].tolist()))
            if found is None:
                return "", {}
            how = found[0]
            maps |= {name: one for name, one in zip(batch["id"], found[1], strict=True) if one.any()}
    return how if maps else "", maps


def overlaid(image: np.ndarray, map_: np.ndarray) -> str:
    """The picture in grey with the map in colour over it, as a data address."""
    grey = np.repeat(small(image, SIDE).mean(axis=2, keepdims=True), 3, axis=2)
    heat = (cv2.resize(map_, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return picture((0.45 * grey + 0.55 * colour).astype(np.uint8))


def small(image: np.ndarray, side: int) -> np.ndarray:
    """The first three channels, as uint8 (side, side, 3)."""
    return cv2.resize(image[..., np.arange(3) % image.shape[2]], (side, side), interpolation=cv2.INTER_AREA)


def in_words(competition: Competition, value) -> str:
    """A label or a decision by name; nothing where the metric takes probabilities and nothing is decided."""
    if competition.task == "multilabel":
        return ", ".join(competition.classes[int(number)] for number in str(value).split()) or "nothing"
    return competition.classes[int(value)] if isinstance(value, int | np.integer) else ""


def said(competition: Competition, row: pd.DataFrame) -> str:
    """The out-of-fold output of one row, in words: a grade, or the probabilities of what is true and what was said."""
    outputs = from_table(row)[0]
    if np.ndim(outputs) == 0:
        what = "grade" if competition.task == "ordinal" else f"probability of {competition.classes[-1]}"
        return f"{what} {outputs:.3f}"
    named = {int(number) for name in ("label", "predicted") for number in str(row[name].iloc[0]).split()}
    return ", ".join(f"{competition.classes[number]} {outputs[number]:.3f}" for number in sorted(named))


def contact_sheet(competition: Competition, recipe: Recipe, images: pd.DataFrame, rows: int = 3, draws: int = 6) -> str:
    """A picture: in each row one training image as it is evaluated, then as the recipe's policy varies it. Empty where
    no image can be read."""
    policy = Policy(recipe.augment, recipe.strength, recipe.flips, SURROUND[recipe.preparation])
    read = reader_of(competition, recipe.channels, recipe.preparation)
    size, made = recipe.input_size, []
    vary, plain = policy.transform(size), evaluation_transform(size)
    for path in images.groupby("label").head(1)["path"].head(rows):
        try:
            image = read(path, size)
        except BadImage:
            continue
        tiles = [small(tile, 112) for tile in (plain(image, 0), *(vary(image, seed) for seed in range(draws)))]
        made.append(np.concatenate([np.pad(tile, ((2, 2), (2, 2), (0, 0))) for tile in tiles], axis=1))
    return picture(np.concatenate(made)) if made else ""
