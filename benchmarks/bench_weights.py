"""What ImageNet weights bring: networks fine-tuned from them, from random weights, and from them after a linear probe.

    make bench-weights [ARGS="--only squeezenet1_1 regnetx_002"]

On camera-trap frames and a 2,000-image part of CIFAR-10, one recipe for all, scored on the labelled test part; without
`--only` about an hour on two cores. Finished runs are reused, so that it may be stopped and started again.
"""

import random
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from common.errors import UserError
from common.files import write_text
from common.options import Options
from common.recipe import Recipe
from competitions import load
from competitions.sources import source

BACKBONES = (
    "squeezenet1_1",
    "tf_mobilenetv3_small_100",
    "regnetx_002",
    "mobilenet_v2",
    "vit_tiny_patch16_224",
    "resnet50",
)
ONE_SEED = ("resnet50",)
"""Networks that take too long for three."""
RECIPE = Recipe(
    input_size=96,
    flips="horizontal",
    learning_rate=3e-4,
    weight_decay=1e-2,
    schedule="onecycle",
    batch_size=32,
    tta="flip",
)
DATA_SETS = {"cct20": {"split": "paper", "epochs": 6}, "cifar10": {"split": "all", "epochs": 4}}
STARTS = ("random", "fine-tuned", "LP-FT")
OF_CLASS = 200
"""Training and test images of each CIFAR-10 class."""


@dataclass(frozen=True)
class Arguments:
    only: tuple[str, ...] = BACKBONES
    """Networks to train."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each."""
    weights: Path = Path("../shared/weights")
    """Folder with `<name>.safetensors`."""
    cct20: Path = Path("../shared/data/cct20")
    """Frames in the CCT-20 layout."""
    cifar10: Path = Path("../shared/data/cifar10.zip")
    """CIFAR-10 in class folders, or a zip of it."""
    runs: Path = Path("runs/bench-weights")
    """Where runs go."""
    csv: Path = Path("runs/bench-weights/accuracy.csv")
    """Where the scores go, row by row."""


def main(arguments: Arguments) -> None:
    rows = pd.read_csv(arguments.csv).to_dict("records") if arguments.csv.is_file() else []
    for seed in arguments.seeds:
        for backbone in arguments.only:
            if seed != arguments.seeds[0] and backbone in ONE_SEED:
                continue
            for data_set in DATA_SETS:
                for start in STARTS:
                    told = {"data": data_set, "backbone": backbone, "start": start, "seed": seed}
                    if not any(told.items() <= row.items() for row in rows):
                        accuracy = score(arguments, data_set, recipe_of(arguments, data_set, backbone, start, seed))
                        rows.append(told | {"accuracy": round(accuracy, 4)})
                        write_text(arguments.csv, pd.DataFrame(rows).to_csv(index=False))
    print(table(pd.DataFrame(rows)))


def recipe_of(arguments: Arguments, data_set: str, backbone: str, start: str, seed: int) -> Recipe:
    weights = "none" if start == "random" else str(arguments.weights / f"{backbone}.safetensors")
    probe = {"probe_share": 1 / 3} if start == "LP-FT" else {}
    return RECIPE.with_fields(backbone=backbone, weights=weights, seed=seed, **DATA_SETS[data_set], **probe)


def score(arguments: Arguments, data_set: str, recipe: Recipe) -> float:
    """Accuracy on the labelled test part."""
    from common.data import read_data
    from common.predict import from_table, predict_test
    from common.train import train

    competition, options = load(data_set), Options(runs=arguments.runs)
    raw = part_of_cifar10(arguments) if data_set == "cifar10" else arguments.cct20
    run = train(competition, recipe, read_data(competition, competition.read_train(raw), recipe), options)
    test = competition.read_test(raw)
    predicted = from_table(predict_test(competition, run, test, options))
    return float((predicted.argmax(1) == test["label"].to_numpy()).mean())


@cache
def part_of_cifar10(arguments: Arguments) -> Path:
    """A folder of links to the same 200 images of each class and part, drawn once."""
    folder = Path("data/cifar10-part").absolute()
    raw = source(load("cifar10"), replace(Options(), data=str(arguments.cifar10))).raw.absolute()
    for of_class in sorted(path for path in raw.glob("*/*") if path.is_dir()):
        links = folder / of_class.relative_to(raw)
        links.mkdir(parents=True, exist_ok=True)
        for file in random.Random(0).sample(sorted(of_class.iterdir()), OF_CLASS):
            link = links / file.name
            if not link.exists():
                link.symlink_to(file)
    return folder


def table(rows: pd.DataFrame) -> str:
    """Mean accuracy in percent over the seeds, its deviation, and by how much weights beat random ones."""
    lines = [
        "| data | network | seeds | random | fine-tuned | LP-FT | weights bring |",
        "|---|---|---|---|---|---|---|",
    ]
    for (data_set, backbone), part in rows.groupby(["data", "backbone"], sort=False):
        by_start = part.pivot(index="seed", columns="start", values="accuracy") * 100
        if missing := [start for start in STARTS if start not in by_start]:
            print(f"{backbone} on {data_set}: {', '.join(missing)} not there yet", file=sys.stderr)
            continue
        shown = [spread(by_start[start].to_numpy()) for start in STARTS]
        brings = spread((by_start["fine-tuned"] - by_start["random"]).to_numpy(), sign="+")
        lines.append(f"| {data_set} | `{backbone}` | {len(by_start)} | {' | '.join(shown)} | {brings} |")
    return "\n".join(lines)


def spread(values: np.ndarray, sign: str = "") -> str:
    """Mean ± standard deviation over seeds."""
    values = values[np.isfinite(values)]
    deviation = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.1f}{deviation}"


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments))
    except UserError as error:
        sys.exit(f"error: {error}")
