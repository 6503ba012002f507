"""A recipe, trained: every fold, then the out-of-fold predictions, the metric and the decision rule."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.augment import Policy
from common.competition import Competition
from common.data import Data, prepared
from common.decide import FITTED, check_rule, fit_rule, nested
from common.errors import UserError
from common.feed import Feed
from common.files import write_atomically, write_json
from common.labels import label_array
from common.metrics import METRICS, bootstrap_interval, evaluate
from common.models import Network, build
from common.options import Options
from common.outputs import activate, check_loss, outputs_of, targets_of
from common.predict import evaluation_feed, from_table, predict_members, to_table
from common.reader import reader_of
from common.recipe import Recipe
from common.run import Run, now, open_run
from common.train.fold import Fold


def train(competition: Competition, recipe: Recipe, data: Data, options: Options) -> Run:
    """The finished run of this recipe on this data: found, resumed or trained from the start.

    Raises:
        UserError: the recipe does not answer the task, images or weights cannot be read, the loss is not finite, or
            another process trains the same run.
    """
    check(competition, recipe)
    run = open_run(options.runs, competition.name, recipe, data.fingerprint, options.again)
    if run.finished:
        say(f"run {run.id} is finished already; --again trains it anew")
        return run
    with run.lock():
        session = Session(competition, recipe, data, options, run)
        for fold in session.data.folds:
            session.train_fold(fold)
        session.finish()
    return run


def check(competition: Competition, recipe: Recipe) -> None:
    """What a recipe alone cannot know: whether it answers this competition's task. Raises UserError."""
    check_loss(recipe, competition.task)
    reader_of(competition, recipe.channels)
    wants = METRICS[competition.metric].wants
    if (wants == "probability") != (recipe.decision == "probability"):
        other = "probability" if wants == "probability" else "argmax, round, thresholds, prevalence or majority"
        raise UserError(f"decision '{recipe.decision}': {competition.metric} wants a {wants}; use --decision {other}")
    check_rule(recipe.decision, several=competition.task == "multilabel")
    if recipe.split == "all" and recipe.decision in FITTED:
        raise UserError(f"decision '{recipe.decision}' is fitted on held-out rows and split 'all' holds out none")


def result(run: Run) -> str:
    """`quadratic_weighted_kappa 0.8123 (95% interval 0.78 to 0.84) on 600 held-out images`."""
    metrics = run.metrics
    if metrics["score"] is None:
        return "nothing was held out, so there is no score"
    low, high = metrics["interval"]
    interval = f"95% interval {low:.4f} to {high:.4f}"
    return f"{metrics['metric']} {metrics['score']:.4f} ({interval}) on {metrics['n']:,} held-out images"


class Session:
    """The caches, feeds and networks that the folds of one run share."""

    def __init__(self, competition: Competition, recipe: Recipe, data: Data, options: Options, run: Run) -> None:
        self.competition, self.recipe, self.options, self.run = competition, recipe, options, run
        self.device = options.torch_device()
        self.cache, skipped = prepared(competition, data.table, recipe, options)
        self.data = data.without([image for image, _, _ in skipped])
        run.update(skipped=skipped)
        self.labels = label_array(self.data.table["label"], competition.task, len(competition.classes))
        self.activate = partial(activate, recipe=recipe, task=competition.task)

    def network(self) -> Network:
        """A fresh network: the head's first values depend on the seed alone."""
        torch.manual_seed(self.recipe.seed)
        return build(self.recipe, outputs_of(self.recipe, self.competition.task, len(self.competition.classes)))

    def training_feed(self, rows: np.ndarray) -> Feed:
        recipe, size = self.recipe, self.recipe.input_size
        return Feed(
            self.cache,
            rows,
            size,
            Policy(recipe.augment, recipe.strength, recipe.flips).transform(size),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            workers=self.options.feed_workers(),
            device=self.device,
            shuffle=True,
            drop_last=len(rows) >= recipe.batch_size,
        )

    def train_fold(self, fold: int) -> None:
        """Trains (or resumes) one fold and writes its out-of-fold predictions; a finished fold is left alone."""
        folder, predictions = self.fold_folder(fold), self.fold_folder(fold) / "out_of_fold.parquet"
        if (folder / "done").is_file():
            return
        folder.mkdir(exist_ok=True)
        table, recipe = self.data.table, self.recipe
        train_rows, rows = self.data.train_rows(fold), self.data.valid_rows(fold)
        say(f"run {self.run.id} {folder.name}: {len(train_rows):,} images to train on, {len(rows):,} held out")
        targets = targets_of(self.labels, recipe, self.competition.task, len(self.competition.classes))
        with self.training_feed(train_rows) as feed, evaluation_feed(self.cache, rows, recipe, self.options) as valid:
            held_out = valid if len(rows) else None
            score = partial(epoch_score, self.competition, self.labels[rows])
            parts = (self.network(), recipe, feed, targets, folder, self.device, self.activate, held_out, score)
            worker = Fold(*parts, state_every=self.options.state_every)
            worker.run()
            if held_out:
                files, what = worker.weights_files(), f"predict {folder.name}"
                outputs = predict_members(self.competition, recipe, files, valid, self.device, what).mean(0)
                kept = {name: table[name].to_numpy()[rows] for name in ("label", "group") if name in table}
                oof = to_table(table["id"].to_numpy()[rows], outputs, fold=fold, **kept)
                write_atomically(predictions, lambda temporary: oof.to_parquet(temporary, index=False))
        (folder / "last.state").unlink(missing_ok=True)
        write_json(folder / "done", {"weights": [file.name for file in worker.weights_files()]})

    def fold_folder(self, fold: int) -> Path:
        return self.run.folder / f"fold-{fold}"

    def finish(self) -> None:
        """Out-of-fold table, metric with interval (decisions nested over folds), and the rule for the test set."""
        files = [self.fold_folder(fold) / "out_of_fold.parquet" for fold in self.data.folds]
        tables = [pd.read_parquet(file) for file in files if file.is_file()]
        metrics = {"metric": self.competition.metric, "score": None, "interval": None, "n": 0, "folds": {}}
        if tables:
            out_of_fold = pd.concat(tables, ignore_index=True)
            write_atomically(
                self.run.folder / "out_of_fold.parquet", lambda path: out_of_fold.to_parquet(path, index=False)
            )
            metrics |= score_out_of_fold(self.competition, self.recipe, out_of_fold)
        else:
            metrics["rule"] = fit_rule(self.recipe.decision, None, None, len(self.competition.classes)).to_dict()
        self.run.update(finished=now())
        write_json(self.run.folder / "metrics.json", metrics)


def epoch_score(competition: Competition, labels: np.ndarray, outputs: np.ndarray) -> float:
    """The competition's metric by the plain rule (rounding, the largest class, the probability; of several classes a
    row those above the one best cut, for what 1/2 means depends on the loss): what the best epoch is chosen by. Fitted
    thresholds come after training."""
    if METRICS[competition.metric].wants == "class":
        name = "global" if labels.ndim == 2 else "round" if outputs.ndim == 1 else "argmax"
        outputs = fit_rule(name, outputs, labels, len(competition.classes))(outputs)
    return evaluate(competition.metric, labels, outputs, len(competition.classes))


def score_out_of_fold(competition: Competition, recipe: Recipe, table: pd.DataFrame) -> dict:
    """Score, 95% interval (whole groups resampled), per-fold scores and the rule fitted on all held-out rows.

    The reported score is nested: each fold is decided by a rule fitted on the others.
    """
    classes = len(competition.classes)
    labels = label_array(table["label"], competition.task, classes)
    outputs, folds = from_table(table), table["fold"].to_numpy()
    of_row = table["group"].to_numpy() if "group" in table else None
    values = nested(recipe.decision, outputs, labels, folds, classes, groups=of_row, seed=recipe.seed)
    score = partial(evaluate, competition.metric, classes=classes)
    per_fold = {str(fold): score(labels[folds == fold], values[folds == fold]) for fold in np.unique(folds)}
    interval = bootstrap_interval(competition.metric, labels, values, classes=classes, groups=of_row, seed=recipe.seed)
    rule = fit_rule(recipe.decision, outputs, labels, classes)
    return {
        "score": score(labels, values),
        "interval": list(interval),
        "n": len(labels),
        "folds": per_fold,
        "rule": rule.to_dict(),
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
