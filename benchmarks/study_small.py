"""The study in little, from real images to its statistics and figures: the proof that the way from runs to them works.

    make study-small [ARGS="--only backbone=squeezenet1_1 competition=cct20"]

Six networks from real ImageNet weights on a camera trap's frames, dermoscopy and a part of CIFAR-10, about 1,500 images
each, three seeds of each network but ResNet-50: 48 runs. Stopped and started again it goes on. What it can say: how the
numbers come about. What it cannot: whether ImageNet transfers, for six points on parts of three data sets leave any
correlation open.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from benchmarks.bench_weights import part_of_cifar10
from common.errors import UserError
from common.files import write_text
from common.study.from_runs import IMAGENET_TOP1, write_collected

TOP1 = {
    "squeezenet1_1": 0.582,
    "tf_mobilenetv3_small_100": 0.679,
    "regnetx_002": 0.688,
    "mobilenet_v2": 0.717,
    "vit_tiny_patch16_224": 0.755,
    "resnet50": 0.722,
}
"""Of these weights: ResNet-50's are compressed, and 4 points below its usual ones."""
ABOVE = 0.5
"""All six: the paper's 70% would leave three."""


@dataclass(frozen=True)
class Arguments:
    only: tuple[str, ...] = ()
    """Parts of the grid: backbone=squeezenet1_1 competition=cct20 …"""
    weights: Path = Path("../shared/weights")
    """Folder with `<name>.safetensors`."""
    cct20: Path = Path("../shared/data/cct20")
    """Frames in the CCT-20 layout."""
    melanoma: Path = Path("../shared/data/melanoma")
    """Dermoscopy in the SIIM layout."""
    cifar10: Path = Path("../shared/data/cifar10.zip")
    """CIFAR-10 in class folders, or a zip of it; 200 images of each class and part are taken."""
    runs: Path = Path("runs/study-small")
    """Where runs, table and figures go."""
    jobs: int = 2
    """Runs at once; on a GPU one is enough."""
    plan: bool = False
    """Show what there is to do and what it costs, and stop."""


def main(arguments: Arguments) -> None:
    from competitions.studying import study

    folders = {"cct20": arguments.cct20, "melanoma": arguments.melanoma, "cifar10": part_of_cifar10(arguments)}
    words = ["--grid", "small-study", "--weights", str(arguments.weights), "--runs", str(arguments.runs)]
    words += ["--data", " ".join(f"{name}={folder}" for name, folder in folders.items())]
    words += ["--jobs", str(arguments.jobs), *(["--only", *arguments.only] if arguments.only else [])]
    study([*words, *(["--plan"] if arguments.plan else [])])
    if not arguments.plan:
        show(arguments.runs)


def show(runs: Path) -> None:
    """The table of results, and what the study makes of it."""
    from common.study import verbs
    from common.study.figures import draw_all

    told = pd.DataFrame(TOP1.items(), columns=["model", "imagenet_top1"])
    write_text(runs / IMAGENET_TOP1, told.to_csv(index=False))
    write_collected(runs, results := runs / "results.csv", None, every=False)
    try:
        for report in (
            verbs.trend(results, ABOVE, "raw"),
            verbs.control(results, ABOVE, "raw"),
            verbs.average(results),
        ):
            print(f"\n{report.as_text()}")
        draw_all(runs / "figures", results, ABOVE)
    except UserError as error:
        print(f"statistics and figures wait for more of the grid: {error}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments))
    except UserError as error:
        sys.exit(f"error: {error}")
