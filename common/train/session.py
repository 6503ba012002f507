"""The caches, feeds and networks that the folds of one run share, and what becomes of each fold."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.competition import Competition
from common.data import Data, prepared
from common.decide import fit_rule
from common.duplicates import AT_MOST, duplicates, hashes
from common.embed import embed_rows
from common.feed import Feed
from common.files import read_record, write_record, write_text
from common.labels import label_array
from common.leftovers import sweep_up
from common.models.build import Network, build
from common.models.tensors import write_tensors
from common.models.weights import read_weights
from common.options import Options
from common.outputs import (
    EMBEDDING,
    Gallery,
    activate,
    all_outputs_of,
    auxiliary_targets,
    plain_labels,
    targets_of,
    targets_of_predictions,
)
from common.predict import evaluation_feed, metadata_of, predict_members, to_table
from common.recipe import Recipe
from common.run import Run, now
from common.stored import read_table, write_table
from common.train import ranks
from common.train.arcface import ArcFace
from common.train.average import average_weights
from common.train.feeds import as_begun, training_feed
from common.train.finite import STOPPED
from common.train.fold import Fold
from common.train.gallery import gallery_of, identities
from common.train.gradients import Execution
from common.train.head import start_head
from common.train.objective import objective
from common.train.probe import best_head, grid
from common.train.score import epoch_score, score_out_of_fold

Watch = Callable[[int, int, float | None], bool]
"""(fold, its epochs trained, the score after the last of them) → whether to stop the run there."""


class Session:
    """One run at work."""

    def __init__(self, competition: Competition, recipe: Recipe, data: Data, options: Options, run: Run) -> None:
        self.competition, self.recipe, self.options, self.run = competition, recipe, as_begun(run, options), run
        self.raw_data = data
        self.device, self.classes = options.torch_device(), len(competition.classes)
        self.cache, skipped = prepared(competition, data.table, recipe, options)
        self.data = data.without([image for image, _, _ in skipped])
        run.update(skipped=skipped)
        if recipe.external:
            self.leave_out_copies()
        self.labels = label_array(self.data.table["label"], competition.task, self.classes)
        self.metadata = metadata_of(competition, recipe, self.data.table, self.device)
        if recipe.loss == "arcface":
            known = self.data.table.get("identity")
            self.identities = identities(self.labels, None if known is None else known.to_numpy())

    def leave_out_copies(self) -> None:
        """External images that show what a training or test image shows are not trained on."""
        table, of_rows = self.data.table, hashes(self.cache)
        external = (table["source"] == "external").to_numpy()
        known = [of_rows[~external]]
        if self.data.test is not None:
            test, _ = prepared(self.competition, self.data.test.assign(source="test"), self.recipe, self.options)
            known.append(hashes(test))
        copies = np.zeros(len(table), dtype=bool)
        copies[external] = duplicates(of_rows[external], np.concatenate(known), AT_MOST)
        self.data = self.data.left_out(copies)
        self.run.update(copies=table.loc[copies, "id"].tolist())
        if copies.any():
            say(f"left out {copies.sum():,} external images that show what a training or test image shows")

    def network(self) -> Network:
        """A fresh network: the head's first values depend on the seed alone."""
        torch.manual_seed(self.recipe.seed)
        columns = 0 if self.metadata is None else self.metadata.shape[1]
        network = build(self.recipe, all_outputs_of(self.recipe, self.competition), metadata=columns)
        if self.recipe.loss == "arcface":
            network.margin = ArcFace(EMBEDDING, int(self.identities.max()) + 1)
        return network

    def targets(self, fold: int) -> torch.Tensor:
        """float32 (rows, …): the labels as the loss wants them, soft where another run has a say; behind them the
        auxiliary target."""
        recipe, task = self.recipe, self.competition.task
        if recipe.loss == "arcface":
            targets = torch.from_numpy(self.identities).float()[:, None]
        else:
            targets = targets_of(self.labels, recipe, task, self.classes)
        position = pd.Series(np.arange(len(targets)), index=self.data.table["id"])
        for soft in self.data.soft:
            if soft.fold in (None, fold):
                there = np.isin(soft.ids, position.index)  # an image that cannot be read may have been skipped
                rows = position[soft.ids[there]].to_numpy(copy=True)
                said = targets_of_predictions(soft.predictions[there], recipe, task, self.classes)
                targets[rows] = (1 - soft.share) * targets[rows] + soft.share * said
        if not recipe.auxiliary:
            return targets
        taught = self.data.table["source"] == "pseudo"  # a held-out test table may have what a real one does not
        beside = np.where(taught, -1, self.competition.read_auxiliary(self.data.table))
        return torch.cat((targets, auxiliary_targets(beside, len(self.competition.auxiliary_classes))), dim=1)

    def training_feed(self, fold: int, rows: np.ndarray, share: tuple[int, int] = (0, 1)) -> Feed:
        labels = self.labels.copy()
        for soft in self.data.soft:
            if soft.fold == fold:  # how often a test image is shown is for the networks of this fold alone to say, too
                pseudo = (self.data.table["source"] == "pseudo").to_numpy()
                order = pd.Series(np.arange(len(soft.ids)), index=soft.ids)[self.data.table.loc[pseudo, "id"]]
                labels[pseudo] = plain_labels(soft.predictions[order], self.competition.task, self.classes)
        return training_feed(self.cache, rows, labels, self.recipe, self.options, share)

    @cached_property
    def embeddings(self) -> torch.Tensor:
        """float32 (rows of the table, D), on the device: of the network before it is trained, whatever the fold."""
        with self.evaluation_feed(np.arange(len(self.labels))) as feed:
            return embed_rows(self.network(), feed, f"embed {self.run.id}")

    def start(self, network: Network, fold: int, targets: torch.Tensor) -> None:
        """The classifier that training starts from: as the recipe initializes it, then that of the linear probe."""
        feed = self.training_feed(fold, self.data.train_rows(fold))
        mean = torch.from_numpy(np.average(targets[feed.rows].numpy(), axis=0, weights=feed.weights)).float()
        extra = len(self.competition.auxiliary_classes) if self.recipe.auxiliary else 0
        start_head(network, self.recipe, mean, len(feed.rows), extra)
        if self.recipe.probe_share:
            file = self.fold_folder(fold) / "probe.safetensors"
            if ranks.leads() and not file.is_file():
                self.probe(network, fold, feed, targets, file)
            ranks.wait_for_the_leader()
            network.classifier.load_state_dict(read_weights(file))

    def probe(self, network: Network, fold: int, feed: Feed, targets: torch.Tensor, file: Path) -> None:
        """Writes the best linear probe of a fold to `file`, and the scores of all to `probe.csv` beside it."""
        rows = self.data.valid_rows(fold)

        def score(outputs: torch.Tensor) -> float:
            values = self.activated(outputs[rows], gallery={}).cpu().numpy()
            return epoch_score(self.competition, self.labels[rows], values)

        head, table = best_head(
            network.classifier.to(self.device),
            self.embeddings,
            targets.to(self.device),
            feed,
            grid(self.recipe, self.recipe.probe_epochs),
            objective(network, self.recipe, self.competition),
            score if len(rows) else None,
        )
        write_text(file.with_suffix(".csv"), table.to_csv(index=False))
        write_tensors(file, head.state_dict())

    def activated(self, outputs: torch.Tensor, gallery: Gallery) -> torch.Tensor:
        """Outputs → predictions; see `common.outputs`."""
        return activate(outputs, self.recipe, self.competition.task, self.classes, gallery)

    def evaluation_feed(self, rows: np.ndarray) -> Feed:
        return evaluation_feed(self.cache, rows, self.recipe, self.options)

    def train_folds(self, watch: Watch | None = None) -> bool:
        """Every fold, in this process and those that follow it; see `train_fold`."""
        if ranks.leads():
            ranks.agreed((self.competition, self.recipe, self.raw_data, self.options, self.run.folder))
        return all(self.train_fold(fold, watch) for fold in self.data.folds)

    def train_fold(self, fold: int, watch: Watch | None = None) -> bool:
        """Trains (or resumes) one fold and writes its out-of-fold predictions; a finished fold is left alone. False:
        `watch(fold, epoch, score)` stopped it before its end."""
        folder = self.fold_folder(fold)
        if ranks.agreed((folder / "done").is_file()):
            self.remove_what_is_not_kept(folder)
            return True
        folder.mkdir(exist_ok=True)
        sweep_up(folder)
        train_rows, rows = self.data.train_rows(fold), self.data.valid_rows(fold)
        ranks.check_enough(self.recipe.batch_size, len(train_rows), len(rows))
        say(f"run {self.run.id} {folder.name}: {len(train_rows):,} images to train on, {len(rows):,} held out")
        network, targets = self.network(), self.targets(fold)
        with (
            self.training_feed(fold, train_rows, (ranks.rank(), ranks.world())) as feed,
            self.evaluation_feed(ranks.mine(rows)) as valid,
            self.remembering(train_rows) as remember,
        ):
            self.start(network, fold, targets)
            worker = Fold(
                network,
                self.recipe.end_to_end(),
                feed,
                targets,
                folder,
                self.device,
                objective(network, self.recipe, self.competition),
                self.activated,
                valid if len(rows) else None,
                partial(epoch_score, self.competition, self.labels[rows]),
                self.metadata,
                remember,
                self.options.state_every,
                watch and partial(watch, fold),
                self.execution(),
                self.data.table["id"].tolist(),
            )
            if not worker.run():
                return False
            files = worker.weights_files()
            ranks.wait_for_the_leader()  # who wrote them
            if self.recipe.average == "weights":
                files = [average_weights(files, worker, feed)]
                ranks.wait_for_the_leader()
            members = ranks.together(self.predict_held_out(fold, files, valid), axis=1) if len(rows) else None
        if ranks.leads():
            self.end_fold(fold, files, members)
        return True

    def end_fold(self, fold: int, files: list[Path], members: np.ndarray | None) -> None:
        """Keeps the weights `files` alone, and the held-out predictions of each."""
        folder = self.fold_folder(fold)
        if members is not None:
            self.write_held_out(fold, members)
        write_record(folder / "done", {"weights": [file.name for file in files]})
        self.remove_what_is_not_kept(folder)

    def remove_what_is_not_kept(self, folder: Path) -> None:
        """Of a fold that is done; once more where it is found done, for a kill may have come in between."""
        kept = {folder / name for name in read_record(folder / "done")["weights"]}
        for file in {folder / "last.state", folder / STOPPED, *folder.glob("weights-*.safetensors")} - kept:
            file.unlink(missing_ok=True)

    def execution(self) -> Execution:
        """How this machine computes a step. Where its memory ran out once, the run has kept how much it holds."""
        micro_batch = self.run.about.get("micro_batch", self.recipe.micro_batch)
        return Execution(micro_batch, self.take_smaller_parts, self.options.compiled(), say_not_compiled)

    def take_smaller_parts(self, images: int) -> None:
        Run(self.run.folder).update(micro_batch=images)
        say(
            f"memory ran out: from here on {images} images at a time, up to the batch of {self.recipe.batch_size}; the "
            "learning rate stays, and batch normalization, where there is some, sees the parts"
        )

    @contextmanager
    def remembering(self, train_rows: np.ndarray) -> Iterator[Callable[[Network], Gallery] | None]:
        """What a prediction of this recipe needs beside the weights: for ArcFace the training images."""
        if self.recipe.loss != "arcface":
            yield None
            return
        with self.evaluation_feed(train_rows) as feed:
            yield partial(gallery_of, feed=feed, labels=self.labels, classes=self.classes, metadata=self.metadata)

    def predict_held_out(self, fold: int, weights: list[Path], valid: Feed) -> np.ndarray:
        """The predictions of the rows of `valid` by each weights file of a fold, (files, n) or (files, n, K)."""
        what = f"predict fold-{fold}"
        return predict_members(self.competition, self.recipe, weights, valid, [self.device], what, self.metadata)

    def write_held_out(self, fold: int, members: np.ndarray) -> None:
        """`out_of_fold.parquet` of a fold: the mean over its weights files."""
        table, rows = self.data.table, self.data.valid_rows(fold)
        kept = {name: table[name].to_numpy()[rows] for name in ("label", "group") if name in table}
        oof = to_table(table["id"].to_numpy()[rows], members.mean(0), fold=fold, **kept)
        write_table(self.fold_folder(fold) / "out_of_fold.parquet", oof)

    def fold_folder(self, fold: int) -> Path:
        return self.run.folder / f"fold-{fold}"

    def finish(self) -> None:
        """Out-of-fold table, metric with interval (decisions nested over folds), and the rule for the test set."""
        files = [self.fold_folder(fold) / "out_of_fold.parquet" for fold in self.data.folds]
        tables = [read_table(file) for file in files if file.is_file()]
        metrics = {"metric": self.competition.metric, "score": None, "interval": None, "n": 0, "folds": {}}
        if tables:
            out_of_fold = pd.concat(tables, ignore_index=True)
            write_table(self.run.folder / "out_of_fold.parquet", out_of_fold)
            metrics |= score_out_of_fold(self.competition, self.recipe, out_of_fold)
        else:
            metrics["rule"] = fit_rule(self.recipe.decision, None, None, self.classes).to_dict()
        self.run.update(finished=now())
        write_record(self.run.folder / "metrics.json", metrics)


def say_not_compiled(reason: str) -> None:
    say(f"training goes on without torch.compile, which could not: {reason}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
