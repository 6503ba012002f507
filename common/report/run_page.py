"""The page of a run: what was asked, how it went, how good it is, where it is wrong, what it cost."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from common.competition import Competition
from common.decide import Rule, fit_rule
from common.errors import UserError
from common.files import read_json
from common.labels import label_array
from common.metrics import evaluate, find
from common.recipe import Recipe
from common.report import thresholds
from common.report.asked import differing, nearest
from common.report.calibration import BINS, calibration
from common.report.charts import Series, chart
from common.report.classes import confusion, mistakes, per_class
from common.report.page import counted, made_of, once, up_to_date, whole, write_page
from common.run import Run
from common.stored import read_table

PAGE = "report.html"
MOST_CLASSES = 15
"""Classes up to which a confusion matrix is read at a glance."""
SUSPECTS = 50


def write_run_page(
    competition: Competition, run: Run, images: pd.DataFrame | None, mark: str, options
) -> tuple[Path, bool]:
    """The page in the run's folder, and whether it had to be made.

    Args:
        images: the training table that the run was trained on; None where it is not here, and then there are neither
            pictures nor maps.
        mark: what the data are, where they are not the competition's own ("sample data").
    """
    path = run.folder / PAGE
    files = [file for file in contents(run) if file.suffix in (".json", ".csv", ".parquet")]
    told = (competition.title, mark, [has_page(run.folder.parent / name) for name in members(run)])
    stamp, complete = (made_of(*told, pictures, files=files) for pictures in (images is not None, True))
    if up_to_date(path, complete):  # also where the images are not here any more: their pictures are in the page
        return path, False

    def make() -> None:
        values = {**basics(competition, run, mark), **training(competition, run)}
        values |= judged(competition, run, images, options)
        write_page(path, "run.html", stamp, **values)

    return path, once(path, stamp, make)


def contents(run: Run) -> list[Path]:
    """The files of a run that are there to be read, but its page."""
    found = sorted(file for file in run.folder.rglob("*") if file.is_file() and "tensorboard" not in file.parts)
    return [file for file in found if file.name[0] != "." and file.name not in (PAGE, "last.state")]


def basics(competition: Competition, run: Run, mark: str) -> dict[str, Any]:
    """What was asked, of what machine, and what lies in the folder."""
    about, recipe = run.about, run.recipe
    name, changed = nearest(competition, recipe)
    environment = run.folder / "environment.json"
    return {
        "competition": competition,
        "run": run,
        "about": about,
        "mark": mark,
        "recipe_name": name,
        "changed": changed,
        "differing": differing(recipe, Recipe()),
        "recipe": recipe.to_dict(),
        "environment": whole(environment, read_json) if environment.is_file() else {},
        "members": [(name, has_page(run.folder.parent / name)) for name in members(run)],
        "files": [(file.relative_to(run.folder).as_posix(), size(file)) for file in contents(run)],
    }


def members(run: Run) -> list[str]:
    """The ids of the runs that it blends."""
    return run.about.get("blend", {}).get("of", [])


def has_page(folder: Path) -> bool:
    return (folder / PAGE).is_file()


def size(file: Path) -> str:
    count = file.stat().st_size
    return f"{count:,} B" if count < 10_000 else f"{count / 1e3:,.0f} kB" if count < 1e7 else f"{count / 1e6:,.0f} MB"


def training(competition: Competition, run: Run) -> dict[str, Any]:
    """Curves, and what they say of speed."""
    curves = dict(curves_of(run))
    if not curves:
        return {"curves": [], "speed": {}}
    losses = [Series(name, curve["epoch"].tolist(), curve["train_loss"].tolist()) for name, curve in curves.items()]
    drawn = [chart("Training loss", "epoch", "loss", losses)]
    scored = {name: curve.dropna(subset="score") for name, curve in curves.items()}
    if any(len(curve) for curve in scored.values()):
        series = [Series(name, curve["epoch"].tolist(), curve["score"].tolist()) for name, curve in scored.items()]
        title = "Score on the held-out rows by the plain rule, before thresholds are fitted"
        drawn.append(chart(title, "epoch", competition.metric.replace("_", " "), series))
    every = pd.concat(curves.values())
    images = (every["seconds"] * every["images_per_second"]).sum()
    speed = {
        "Images a second in training": f"{images / max(every['seconds'].sum(), 1e-9):,.1f}",
        "Images trained on": f"{images:,.0f}",
        "Time in training epochs": duration(every["seconds"].sum()),
        "From start to finish": wall(run),
        "Energy": "unknown, it is not measured",
    }
    return {"curves": drawn, "speed": {name: value for name, value in speed.items() if value}}


def curves_of(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    for file in sorted(
        run.folder.glob("fold-*/curve.csv"), key=lambda file: int(file.parent.name.removeprefix("fold-"))
    ):
        yield file.parent.name.replace("-", " "), whole(file, curve)


def curve(file: Path) -> pd.DataFrame:
    """The columns of a fold's curve that are shown."""
    kinds = {"epoch": int, **dict.fromkeys(("train_loss", "score", "seconds", "images_per_second"), float)}
    return pd.read_csv(file, usecols=list(kinds), dtype=kinds)


def wall(run: Run) -> str:
    """Pauses between two starts count."""
    if not run.about.get("finished"):
        return ""
    start, end = (datetime.fromisoformat(run.about[name]) for name in ("started", "finished"))
    return f"{duration((end - start).total_seconds())}, pauses counted"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} hours" if minutes >= 60 else f"{minutes}:{rest:02} minutes"


def judged(competition: Competition, run: Run, images: pd.DataFrame | None, options) -> dict[str, Any]:
    """What the held-out predictions say; and the pictures."""
    values = {"metrics": run.metrics if run.finished else None, "held_out": False, "sheet": "", "wrong": [], "how": ""}
    if images is not None:
        from common.report.gallery import contact_sheet

        values["sheet"] = contact_sheet(competition, run.recipe, images)
    file = run.folder / "out_of_fold.parquet"
    if not (run.finished and file.is_file()):
        return values
    from common.predict import from_table

    table = read_table(file)
    outputs, labels = from_table(table), label_array(table["label"], competition.task, len(competition.classes))
    values |= {"held_out": True, **scores(competition, run, outputs, labels)}
    return values | suspected(competition, run, table, images, options)


def scores(competition: Competition, run: Run, outputs: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Classes, calibration and thresholds."""
    rule, note = Rule.from_dict(run.metrics["rule"]), ""
    if find(competition.metric).wants == "probability":
        rule = fit_rule("prevalence", outputs, labels, 2)
        note = (
            f"The metric takes probabilities, and nothing is decided. Here they are cut at {rule.cuts[0]:.4f}: "
            f"{counted(int(rule(outputs).sum()), 'row')} called {competition.classes[1]}, {labels.sum():,} labelled so."
        )
    decided = rule(outputs)
    values = {"rule": rule, "rule_note": note, "classes": per_class(labels, decided, competition.classes)}
    values |= {"matrix": None, "mistakes": None}
    if labels.ndim == 1:
        counts = confusion(labels, decided, len(competition.classes))
        few = len(counts) <= MOST_CLASSES
        values["matrix" if few else "mistakes"] = counts if few else mistakes(counts, competition.classes)
    ranks = run.about.get("blend", {}).get("how") == "rank"
    values["calibration"] = None if ranks else reliability(competition, outputs, labels)
    values["threshold_charts"] = [] if ranks else threshold_charts(competition, rule, outputs, labels)
    return values


def reliability(competition: Competition, outputs: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    found = calibration(outputs, labels, competition.task)
    told = [
        f"said {said:.3f}, happened {happened:.3f}, {count:,} values"
        for said, happened, count in zip(found.said, found.happened, found.counts, strict=True)
    ]
    points = Series("reliability", found.said.tolist(), found.happened.tolist(), texts=told)
    grades = outputs.ndim == 1 and competition.task == "ordinal"
    span = None if grades else (0.0, 1.0)
    drawn = chart("Reliability diagram", "said", "happened", [points], x=span, y=span, diagonal=True)
    return {
        "chart": drawn,
        "error": found.error,
        "bins": BINS,
        "used": len(found.counts),
        "what": found.what,
        "grades": grades,
    }


def threshold_charts(competition: Competition, rule: Rule, outputs: np.ndarray, labels: np.ndarray) -> list[Markup]:
    """Where the decision has cut points, what they are worth."""
    names, metric = competition.classes, competition.metric.replace("_", " ")
    if competition.task == "multilabel" and rule.cuts:
        cuts, f1 = thresholds.of_classes(outputs, labels)
        return [
            chart(
                f"{name}: F1 over its cut",
                "",
                "",
                [Series(name, cuts.tolist(), f1[:, number].tolist(), dots=False)],
                x=(0, 1),
                y=(0, 1),
                marks=[(rule.cuts[number], f"cut at {rule.cuts[number]:.4f}")],
                size=(230, 150),
                numbers=False,
            )
            for number, name in enumerate(names)
            if labels[:, number].any()
        ]
    if find(competition.metric).wants == "probability":
        roc, others = thresholds.of_probability(outputs, labels)
        area = evaluate("roc_auc", labels, outputs, 2)
        return [
            chart(f"ROC curve, area {area:.4f}", "false alarms", "found", [roc], x=(0, 1), y=(0, 1), diagonal=True),
            chart("Precision and recall over the cut", "cut", "share", others, y=(0, 1), marks=[(rule.cuts[0], "cut")]),
        ]
    if rule.cuts and competition.task == "ordinal":
        series = thresholds.of_grades(rule, outputs, labels, competition.metric, names)
        marks = [(cut, f"cut at {cut:.4f}") for cut in rule.cuts]
        return [chart(f"{metric} as one cut moves and the others stay", "cut", metric, series, marks=marks)]
    return []


def suspected(
    competition: Competition, run: Run, table: pd.DataFrame, images: pd.DataFrame | None, options
) -> dict[str, Any]:
    """The labels that the predictions speak against, and the gallery of the most wrong."""
    from common.report.gallery import gallery, in_words, most_wrong
    from common.suspects import suspicious_rows

    try:
        suspects = suspicious_rows(run, competition, share=1.0).merge(table[["id", "fold"]], on="id")
    except UserError as error:
        return {"suspects": [], "no_suspects": str(error)}
    rows = most_wrong(suspects)
    none = pd.DataFrame({"id": [], "path": []})
    how, wrong = gallery(competition, run, rows, none if images is None else images, options.torch_device())
    listed = [
        (row.id, in_words(competition, row.label), in_words(competition, row.predicted), float(row.suspicion))
        for row in suspects.head(SUSPECTS).itertuples()
    ]
    return {"suspects": listed, "no_suspects": "", "how": how, "wrong": wrong}
