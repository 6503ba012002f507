"""The heart: one network trained on the rows of one fold, resumable at any moment.

Everything random in a step is a function of (seed, epoch, step), never of what ran before it, so a run that was killed
and continued ends with the same bits on the same machine. Nothing in the step waits for the device.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from timm.utils import ModelEmaV3
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torchvision.transforms.v2 import CutMix, MixUp

from common.errors import UserError
from common.feed import Feed
from common.files import write_text
from common.models.build import Network
from common.models.tensors import write_tensors
from common.outputs import Gallery
from common.predict import predict_outputs
from common.progress import Progress
from common.recipe import Recipe
from common.train import ranks
from common.train.checkpoint import load_state, save_state
from common.train.events import write_point
from common.train.finite import Steps, has_finite_weights
from common.train.gradients import Execution, Gradients
from common.train.optim import learning_rate_at, optimizer_of, set_learning_rate

LOOK_EVERY = 10.0
"""Seconds after which the losses are looked at, whether or not a state is due: what has gone astray is said soon."""

Watch = Callable[[int, float | None], bool]
"""(epochs trained, the score after the last of them) → whether to stop there."""


def step_seed(seed: int, epoch: int, step: int) -> int:
    """A seed for torch's generators (63 bits) that depends on these three alone."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def mixing(recipe: Recipe) -> Callable | None:
    """MixUp, CutMix, or one of the two drawn for each batch; None where both are off. They use torch's generator."""
    mixers = [kind(alpha=alpha) for kind, alpha in ((MixUp, recipe.mixup), (CutMix, recipe.cutmix)) if alpha]
    if not mixers:
        return None
    return lambda *batch: mixers[int(torch.randint(len(mixers), ()))](*batch)


class Fold:
    """Trains `network` on `train` and keeps the best weights in `folder`.

    Args:
        targets: float (rows of the table, outputs); a batch's targets are looked up by its rows.
        loss: `loss(outputs, targets)` → scalar; see `common.train.objective`.
        activate: `activate(outputs, gallery=…)` → predictions; see `common.outputs`.
        metadata: float (rows of the table, d), looked up alike; None where the recipe has none.
        remember: network → what a prediction needs beside the weights, kept with them; None: nothing.
        score: outputs over the validation rows (n,) or (n, K) → the competition's metric, higher is better.
        valid: its rows in order, unshuffled; None where nothing is held out (then the last epochs are the best).
        state_every: seconds between resumable states.
        watch: asked after every epoch; where it says stop, the state is kept and a later call goes on from there.
        how: the machine's share in how a step is computed.
        ids: of the table's rows, for what is told of them; None: their numbers.

    Where several processes train it, each has the feeds of its share, and the first one alone writes and is watched.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        train: Feed,
        targets: torch.Tensor,
        folder: Path,
        device: torch.device,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        activate: Callable[..., torch.Tensor],
        valid: Feed | None = None,
        score: Callable[[np.ndarray], float] | None = None,
        metadata: torch.Tensor | None = None,
        remember: Callable[[Network], Gallery] | None = None,
        state_every: float = 120.0,
        watch: Watch | None = None,
        how: Execution | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        self.recipe, self.train_feed, self.valid_feed = recipe, train, valid
        self.folder, self.device, self.activate, self.score = folder, device, activate, score
        self.targets, self.metadata, self.remember = targets.to(device), metadata, remember or (lambda network: {})
        network = network.to(device, memory_format=torch.channels_last)
        self.network = ranks.with_common_statistics(network, device)
        self.ema = ModelEmaV3(self.network, decay=recipe.ema, use_warmup=True) if recipe.ema else None
        self.optimizer = optimizer_of(self.network, recipe)
        self.learning_rate = learning_rate_at(recipe, train.steps_per_epoch)
        self.gradients = Gradients(self.network, loss, mixing(recipe), device, how or Execution())
        self.watch = watch or (lambda epoch, score: False)
        known = [self.targets] if self.metadata is None else [self.targets, self.metadata]
        self.steps = Steps(recipe, train, folder, self.learning_rate, ids, known)
        self.epoch, self.step, self.history = 0, 0, []
        self.state_every, self.last_state = state_every, time.monotonic()
        self.loss_sum = torch.zeros((), device=device)
        self.resume()

    @property
    def best_network(self) -> Network:
        """What is validated and saved: the averaged weights where the recipe averages them."""
        return self.ema.module if self.ema else self.network

    @property
    def finished(self) -> bool:
        return self.epoch >= self.recipe.epochs or self.out_of_patience()

    def run(self) -> bool:
        """Train to the end, from wherever an earlier process stopped. False: the watch stopped it before; it is told of
        the epochs of earlier processes too, so that the same watch stops at the same epoch again."""
        if any(self.told_to_stop(row) for row in self.history):
            return False
        steps = self.train_feed.steps_per_epoch
        size = self.recipe.batch_size
        total, done = self.recipe.epochs * steps * size, (self.epoch * steps + self.step) * size
        with Progress(total, f"train {self.folder.name}", done=min(done, total)) as progress:
            while not self.finished:
                start = time.monotonic()
                images = self.train_epoch(progress)
                self.end_epoch(seconds=time.monotonic() - start, images=images)
                if self.told_to_stop(self.history[-1]):
                    self.write_state()
                    return False
        self.remove_lesser_weights()
        return True

    def told_to_stop(self, row: dict) -> bool:
        return ranks.agreed(self.watch(row["epoch"], row["score"]))

    def train_epoch(self, progress: Progress) -> int:
        """The rest of this epoch; returns how many images were trained on."""
        self.network.train()
        images_seen = 0
        note = f"epoch {self.epoch + 1}/{self.recipe.epochs}{self.latest_score()}"
        for images, rows in self.train_feed.epoch(self.epoch, first_step=self.step):
            with progress.apart("compiling the network") if self.gradients.to_compile else nullcontext():
                self.train_step(images, rows)
            count = self.train_feed.images_in(self.step)
            self.step += 1
            images_seen += count
            progress.update(count, note)
            if self.steps.due(LOOK_EVERY):
                self.steps.check(self.epoch, self.step)
            self.save_state_when_due()
        return images_seen

    def train_step(self, images: torch.Tensor, rows: torch.Tensor) -> None:
        """One optimizer step on uint8 images (n, channels, H, W) and the rows of their targets (n,)."""
        global_step = self.epoch * self.train_feed.steps_per_epoch + self.step
        set_learning_rate(self.optimizer, self.learning_rate(global_step))
        seed = step_seed(self.recipe.seed, self.epoch, self.step) ^ ranks.rank()
        beside = None if self.metadata is None else self.metadata[rows]
        loss = self.gradients(seed, images, self.targets[rows], beside, self.train_feed.images_in(self.step))
        self.loss_sum += loss
        weights = [weight for weight in self.network.parameters() if weight.grad is not None]
        norm = get_total_norm([weight.grad for weight in weights])
        self.steps.note(loss, norm)
        if self.recipe.clip_gradient:
            clip_grads_with_norm_(weights, self.recipe.clip_gradient, norm)
        self.optimizer.step()
        if self.ema:
            self.ema.update(self.network, step=global_step + 1)

    def end_epoch(self, seconds: float, images: int) -> None:
        """Validate, write the curve, keep the weights if they are among the best."""
        self.steps.check(self.epoch, self.step)
        last_step = (self.epoch + 1) * self.train_feed.steps_per_epoch - 1
        train_loss = float(self.loss_sum) / self.train_feed.steps_per_epoch
        ranks.with_the_leaders_statistics(*dict.fromkeys((self.network, self.best_network)))
        gallery = self.remember(self.best_network)
        row = {
            "epoch": self.epoch + 1,
            "learning_rate": self.learning_rate(last_step),
            "train_loss": train_loss,
            "score": self.validate(gallery),
            "seconds": round(seconds, 3),
            "images_per_second": round(images / max(seconds, 1e-9), 1),
        }
        self.history.append(row)
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum = torch.zeros((), device=self.device)
        if not ranks.leads():
            return
        if self.epoch in self.best_epochs():
            write_tensors(self.weights_file(self.epoch), self.best_network.weights() | gallery)
        self.write_curves(row)
        self.save_state_when_due()

    def validate(self, gallery: Gallery) -> float | None:
        """The score on the held-out rows, None where there are none. Raises UserError where weights or outputs are not
        finite: the last steps may have ruined them although each was."""
        outputs = np.zeros(1)
        if self.valid_feed is not None:
            act = partial(self.activate, gallery=gallery)
            share = predict_outputs(self.best_network, self.valid_feed, self.device, act, metadata=self.metadata)
            outputs = ranks.together(share)
        if not (has_finite_weights(self.best_network) and np.isfinite(outputs).all()):
            raise UserError(
                f"{self.folder.name}, epoch {self.epoch + 1} ended with weights or outputs that are not finite; "
                + self.steps.way_out(self.train_feed.rows if self.valid_feed is None else self.valid_feed.rows)
            )
        return self.score(outputs) if self.valid_feed is not None else None

    def best_epochs(self) -> list[int]:
        """The recipe's number of best epochs, the best first; the last ones where nothing is held out."""
        if self.valid_feed is None:
            return [row["epoch"] for row in self.history[: -self.recipe.checkpoints - 1 : -1]]
        ranked = sorted(self.history, key=lambda row: (-row["score"], row["epoch"]))
        return [row["epoch"] for row in ranked[: self.recipe.checkpoints]]

    def weights_files(self) -> list[Path]:
        """The kept weights, the best first."""
        return [self.weights_file(epoch) for epoch in self.best_epochs()]

    def weights_file(self, epoch: int) -> Path:
        return self.folder / f"weights-{epoch:03}.safetensors"

    def out_of_patience(self) -> bool:
        if not (self.recipe.patience and self.history and self.valid_feed):
            return False
        return self.epoch - self.best_epochs()[0] >= self.recipe.patience

    def latest_score(self) -> str:
        scores = [row["score"] for row in self.history if row["score"] is not None]
        return f", score {scores[-1]:.4f}, best {max(scores):.4f}" if scores else ""

    def write_curves(self, row: dict) -> None:
        """The whole curve as CSV and its newest point for TensorBoard."""
        write_text(self.folder / "curve.csv", pd.DataFrame(self.history).to_csv(index=False))
        known = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        write_point(self.folder / "tensorboard", row["epoch"], known)

    def save_state_when_due(self) -> None:
        if ranks.leads() and time.monotonic() - self.last_state >= self.state_every:
            self.write_state()

    def write_state(self) -> None:
        """Between two states an epoch's weights are only added, so that an older state finds those it counts on. The
        last state stays where this one is not finite: the next step will tell, the same at every start."""
        self.steps.check(self.epoch, self.step)
        if not ranks.leads() or not has_finite_weights(self.network):
            return
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "loss_sum": self.loss_sum,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
        }
        save_state(self.folder / "last.state", state)
        self.last_state = time.monotonic()
        self.remove_lesser_weights()

    def remove_lesser_weights(self) -> None:
        if ranks.leads():
            for file in set(self.folder.glob("weights-*.safetensors")) - set(self.weights_files()):
                file.unlink()

    def resume(self) -> None:
        """Continue from the last state, if there is a whole one and the weights that it counts on are there."""
        state = load_state(self.folder / "last.state", self.device)
        if state is None:
            return
        self.history = state["history"]
        if not all(file.is_file() for file in self.weights_files()):
            self.history = []
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        self.epoch, self.step, self.loss_sum = state["epoch"], state["step"], state["loss_sum"]
