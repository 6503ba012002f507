"""The verb `transfer`: a model fine-tuned on the data sets that are here, and placed among the paper's and one's own.

The protocol is fixed, so that its scores can be compared with each other: the paper's `paper` recipe of each data set
(crops and mirror images at 256 pixels, DeiT and EuroSAT at 224, batches of 128, its split), AdamW with a cosine at the
learning rates 1e-3, 1e-4 and 1e-5, decay 1e-4, 10 epochs, the best of the three by the held-out rows: 3 runs for the
paper's 60, which look at as many images as one of them.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tyro

from common import terminal
from common.command import parse
from common.errors import UserError, closest
from common.files import write_text
from common.options import Options
from common.study.from_runs import IMAGENET_TOP1, collect, name_of
from common.sweep.drive import sweep
from common.sweep.grid import Job, optimizations
from common.sweep.local import local_engine
from common.sweep.plan import as_text, make_plan, plan_facts
from common.sweep.rates import rates
from competitions.grids import DATA_SETS, published
from competitions.studying import check_data, expected_images, found, train_task
from competitions.tested import score_tests

DATA = (*DATA_SETS, "cifar10")
"""The paper's and its control."""
LEARNING_RATES, DECAYS = (1e-3, 1e-4, 1e-5), (1e-4,)
EPOCHS = 10
FILES = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class TransferArguments:
    model: tyro.conf.Positional[str]
    """A model of timm or torchvision, or a file of weights that is called like its model."""
    backbone: str = ""
    """The model, where a file of weights is called otherwise."""
    imagenet_top1: float = 0.0
    """ImageNet top-1, a fraction; 0: the model's usual one, from the tables of this project."""
    against: str = "resnet50"
    """Model of the paper that it is held against, by its name in the zoo."""
    only: tuple[str, ...] = ()
    """Data sets to train on; empty: all that are here."""
    seeds: tuple[int, ...] = (0,)
    """Every learning rate is tried with each."""
    learning_rates: tuple[float, ...] = LEARNING_RATES
    """The held-out rows choose among them."""
    epochs: int = EPOCHS
    """Of every run. Other epochs, sizes and batches make another protocol, whose scores are not the paper's."""
    input_size: int = 0
    """Side in pixels; 0: the protocol's."""
    batch_size: int = 0
    """Images a step; 0: the protocol's."""
    folds: int = 0
    """Validate on the first of so many folds, where the paper's split cannot be made of the data; 0: the paper's."""
    plan: bool = False
    """Show what there is to do and what it costs, and stop."""
    json: bool = False
    """Print the same as JSON: with --plan the plan, else where the model stands."""
    jobs: int = 0
    """Runs at once; 0: one a GPU, and one where there is none."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)
    """Here --data is a folder with a folder or .zip for each data set by its name, or 'name=folder name=folder …'."""


def transfer(words: list[str]) -> None:
    asked = parse(TransferArguments, words, "python -m competitions transfer")
    with terminal.aside(asked.json):
        answer = train_and_place(asked)
    if asked.json:
        terminal.print_json(answer)


def train_and_place(asked: TransferArguments) -> dict[str, Any]:
    """What is printed as JSON."""
    check(asked)
    jobs, options = jobs_of(asked), asked.options
    if options.again or options.data == "sample":
        raise UserError("transfer: it does each run once, on real data; leave out --again, and sample data")
    check_data(options.data)
    backbone = name_of(jobs[0].recipe)
    plan = make_plan(f"transfer-{backbone}", jobs, lambda job: found(job, options))
    engine = local_engine(options, asked.jobs)
    try:
        measured = rates(plan.tasks, engine, options.runs, options.cache, options.device)
        plan = replace(plan, rates=measured, workers=engine.workers)
        print(as_text(plan, options.runs, expected_images()), flush=True)
        if asked.plan:
            return plan_facts(plan, options.runs, expected_images())
        if not plan.tasks:
            raise UserError("there is nothing that can be done: see above what data and weights are missing")
        sweep(plan, engine, options, train_task)
    finally:
        engine.close()
    score_tests(plan.tasks, options)
    return place(backbone, asked)


def check(asked: TransferArguments) -> None:
    """Raises UserError where an answer would be wanting after hours of training."""
    from common.models.registry import source_of
    from common.study.transfer import name_in_the_paper

    if not asked.model:
        raise UserError("model: none is named; give MODEL=, a name of timm or torchvision or a file of weights")
    if not 0 <= asked.imagenet_top1 < 1:
        raise UserError(f"imagenet_top1: {asked.imagenet_top1:g} is no fraction; 80.3% is --imagenet-top1 0.803")
    name_in_the_paper(asked.against)
    file, backbone = file_and_backbone(asked)
    try:
        source_of(backbone)
    except UserError as error:
        raise UserError(f"{error}; name the model of {file} with --backbone" if file else str(error)) from None


def file_and_backbone(asked: TransferArguments) -> tuple[Path | None, str]:
    file = Path(asked.model) if Path(asked.model).suffix in FILES else None
    return file, asked.backbone or (file.stem if file else asked.model)


def jobs_of(asked: TransferArguments) -> list[Job]:
    """The protocol on every data set that is asked for. Raises UserError: one is none of the study's, or a list is
    empty."""
    for name in ("seeds", "learning_rates"):
        if not getattr(asked, name):
            raise UserError(f"{name}: name one at least, or leave out --{name.replace('_', '-')}")
    if unknown := [name for name in asked.only if name not in DATA]:
        raise UserError(
            f"only: the study has no data set '{unknown[0]}'{closest(unknown[0], DATA)}; it has {', '.join(DATA)}"
        )
    file, backbone = file_and_backbone(asked)
    fields = {"weights": str(file)} if file else {}
    fields |= {name: value for name in ("input_size", "batch_size") if (value := getattr(asked, name))}
    if asked.folds:
        fields |= {"split": "folds", "folds": asked.folds, "only_folds": (0,)}
    return [
        Job(name, recipe)
        for name in dict.fromkeys(asked.only or DATA)
        for seed in dict.fromkeys(asked.seeds)
        for recipe in optimizations(
            published(name, backbone).with_fields(seed=seed, epochs=asked.epochs, **fields),
            [("adamw", "cosine")],
            {"adamw": tuple(dict.fromkeys(asked.learning_rates))},
            DECAYS,
        )
    ]


def place(backbone: str, asked: TransferArguments) -> dict[str, Any]:
    """Writes what the run store holds as a table of results, and places the model."""
    from common.study.measured import transfer as placed

    runs = asked.options.runs
    if asked.imagenet_top1:
        remember(runs / IMAGENET_TOP1, backbone, asked.imagenet_top1)
    rows, _ = collect(runs)
    write_text(file := runs / "results.csv", rows.to_csv(index=False))
    report = placed(file, backbone, asked.against)
    print(f"{report.as_text()}\n\none row a run: {file}")
    return report.facts() | {"results": file}


def remember(file: Path, backbone: str, top1: float) -> None:
    """Keep an accuracy that was told for whoever collects these runs later."""
    known = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["model", "imagenet_top1"])
    rows = [*known[known["model"] != backbone].to_dict("records"), {"model": backbone, "imagenet_top1": top1}]
    write_text(file, pd.DataFrame(rows).to_csv(index=False))
