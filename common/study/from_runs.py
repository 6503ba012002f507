"""The run store as a table of results: a row for every finished run that says something about its backbone.

Beside the columns that `common.study.results` reads, a row has `run`, `scored_on` ("test" where the data set has a test
part with labels and the run was scored on it, else "held out"), `scored` and `rows` (images that were scored, and that
were trained or validated on), `data` (the fingerprint of the training table), `deviations` (what in the recipe is not
the paper's protocol), the fields that a grid searches, and `mark`.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.files import read_json, write_text
from common.recipe import PAPER, Recipe
from common.run import Run, all_runs
from common.study.imagenet import known, read_top1
from common.study.tables import IMAGENET
from common.sweep.grid import recipe_hash
from common.sweep.state import seconds_of

TEST = "test.json"
"""In a run's folder: `metric`, `score`, `interval` and `n` on the test part, as metrics.json has them of held-out
rows."""
IMAGENET_TOP1 = "imagenet.csv"
"""In the folder of the runs: ImageNet top-1 of backbones whose accuracy was told, as `read_top1` takes it."""
SEARCHED = ("optimizer", "schedule", "learning_rate", "weight_decay", "epochs")
FREE = {*SEARCHED, "step_epochs", "decay_over_learning_rate", "backbone", "weights", "seed"}
OF_DATA_SET = {"color_order", "flips", "decision"}
"""The paper has these too, but other ones for each data set."""
SIZES, PUBLISHED = (224, 256), {"melanoma": {"epochs": 10}, "hpa": {"loss": "bce"}}
NOT_MARKED = "trained before runs told whose data they have"
FILES = (".safetensors", ".pth", ".pt")


def write_collected(runs: Path, to: Path, imagenet: Path | None, every: bool) -> None:
    rows, left_out = collect(runs, imagenet, every)
    write_text(to, rows.to_csv(index=False))
    for reason, count in left_out.items():
        print(f"left out: {count:,} {'run' if count == 1 else 'runs'}: {reason}")
    backbones, data_sets = rows["backbone"].nunique(), rows["dataset"].nunique()
    print(f"{len(rows):,} runs of {backbones} backbones on {data_sets} data sets written to {to}")


def collect(runs: Path, imagenet: Path | None = None, every: bool = False) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows, and how many runs are left out for which reason.

    Of each data set the training table with the most rows counts, and of repeated runs the last. Where some of a data
    set's runs are scored on its test part, the others are left out: two kinds of scores cannot be ranked.

    Args:
        imagenet: as `common.study.imagenet.read_top1` takes it; None: `imagenet.csv` of the folder, if it has one.
        every: keep runs on sample and practice data; a data set's real runs are then told apart by `mark` alone.

    Raises:
        UserError: there is no run that counts.
    """
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}; train something, or name the folder with --runs")
    found, left_out = [], Counter()
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
        for run in all_runs(runs, folder.name):
            if reason := unusable(run, every):
                left_out[reason] += 1
            else:
                found.append(row_of(run))
    rows = comparable(found, left_out)
    if rows.empty:
        why = "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it is empty"
        raise UserError(f"{runs} has no finished run that counts: {why}")
    told = imagenet or runs / IMAGENET_TOP1
    given = read_top1(told) if imagenet or told.is_file() else {}
    names = rows["backbone"].unique()
    about = {name: known(name) for name in names}
    rows[IMAGENET] = rows["backbone"].map({name: given.get(name, about[name].top1) for name in names})
    rows["parameters"] = rows["backbone"].map({name: about[name].parameters for name in names})
    order = ["dataset", "backbone", "score"]
    return rows.sort_values(order, ascending=[True, True, False], ignore_index=True), dict(left_out)


def unusable(run: Run, every: bool) -> str:
    """Why a run tells nothing about its backbone; empty where it does."""
    if not run.finished:
        return "not finished"
    if "blend" in run.about:
        return "a blend of several networks"
    if run.metrics["score"] is None:
        return "nothing was held out"
    if run.recipe.weights == "none":
        return "from random weights"
    mark = run.about.get("mark", NOT_MARKED)
    return "" if every else mark


def row_of(run: Run) -> dict:
    recipe, competition = run.recipe, run.folder.parent.name
    file = run.folder / TEST
    metrics = read_json(file) if file.is_file() else run.metrics
    low, high = metrics["interval"] or (None, None)
    environment = read_json(run.folder / "environment.json")
    return {
        "dataset": competition,
        "backbone": name_of(recipe),
        "metric": metrics["metric"],
        "recipe": recipe_hash(recipe),
        "seed": recipe.seed,
        "score": metrics["score"],
        "low": low,
        "high": high,
        "environment": f"{environment['device']}, torch {environment['packages']['torch']}",
        "run": run.id,
        "scored_on": "test" if file.is_file() else "held out",
        "scored": metrics["n"],
        "rows": run.about.get("rows", 0),
        "data": run.about.get("source", run.fingerprint),
        "deviations": deviations(competition, recipe),
        **{name: getattr(recipe, name) for name in SEARCHED},
        "seconds": round(seconds_of(run.folder), 1),
        "mark": run.about.get("mark", NOT_MARKED),
    }


def comparable(found: list[dict], left_out: Counter) -> pd.DataFrame:
    """One training table and one kind of score for each data set, one row for each network; see `collect`."""
    rows = pd.DataFrame(found)
    if rows.empty:
        return rows

    def keep(kept: pd.Series, otherwise: str) -> pd.DataFrame:
        if not kept.all():
            left_out[otherwise] += int((~kept).sum())
        return rows[kept]

    largest = rows.sort_values("rows", kind="stable").groupby("dataset")["data"].last()
    rows = keep(rows["data"] == rows["dataset"].map(largest), "on other data of a data set, such as a part")
    tested = rows["scored_on"] == "test"
    rows = keep(tested | ~tested.groupby(rows["dataset"]).transform("any"), "not scored on the test part")
    repeated = rows.duplicated(["dataset", "backbone", "metric", "recipe", "seed"], keep="last")
    return keep(~repeated, "trained again later").reset_index(drop=True)


def name_of(recipe: Recipe) -> str:
    """The backbone, and where a file of other weights was given, that file's name too."""
    file = Path(recipe.weights)
    own = file.suffix in FILES and file.stem != recipe.backbone
    return f"{recipe.backbone}:{file.stem}" if own else recipe.backbone


def deviations(competition: str, recipe: Recipe) -> str:
    """`epochs=10 input_size=96`: the fields that are not the paper's, but for what its grid searches and what differs
    between its data sets. Its sizes are 224 and 256."""
    paper = {**PAPER.to_dict(), **PUBLISHED.get(competition, {})}
    if recipe.input_size in SIZES:
        paper["input_size"] = recipe.input_size
    compared = [name for name in paper if name not in FREE | OF_DATA_SET]
    own = recipe.to_dict()
    return " ".join(f"{name}={own[name]}" for name in ("epochs", *compared) if own[name] != paper[name])
