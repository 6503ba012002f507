"""Whether training still goes in finite numbers: noted at every step, asked now and then, for to ask waits for the
device."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from common.errors import UserError, listing
from common.feed import Feed
from common.files import write_json
from common.recipe import Recipe
from common.train import ranks

STOPPED = "stopped.json"
"""What is kept of the step that stopped a fold, with all images of its batch."""
SHOWN = 20


class Steps:
    """Loss and norm of the gradient of the steps since the last look, on the device.

    The gradient is noted beside the loss because it is what ruins the weights: with the loss alone the batch after the
    culprit would be named.

    Args:
        learning_rate: step of the training → its rate.
        ids: of the table's rows; None: their numbers.
        known: float (rows of the table, …), what a batch has beside its images.
    """

    def __init__(
        self,
        recipe: Recipe,
        feed: Feed,
        folder: Path,
        learning_rate: Callable[[int], float],
        ids: Sequence[str] | None,
        known: Sequence[torch.Tensor],
    ) -> None:
        self.recipe, self.feed, self.folder, self.learning_rate = recipe, feed, folder, learning_rate
        self.ids, self.known = range(len(known[0])) if ids is None else ids, known
        self.unseen: list[torch.Tensor] = []
        self.looked = time.monotonic()

    def note(self, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """One more step, by scalars on the device. Nothing waits for it."""
        self.unseen.append(torch.stack((loss, norm)))

    def due(self, seconds: float) -> bool:
        """Whether the last look is that long ago."""
        return time.monotonic() - self.looked >= seconds

    def check(self, epoch: int, done: int) -> None:
        """A look, after `done` steps of an epoch. Waits for the device.

        Raises:
            UserError: a step since the last look had a loss or a gradient that is not finite; the first one is named.
        """
        noted, self.unseen, self.looked = self.unseen, [], time.monotonic()
        if not noted:
            return
        values = torch.stack(noted).cpu()
        bad = (~values.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if bad:
            raise self.gone_astray(epoch, done - len(noted) + bad[0], float(values[bad[0], 0]))

    def gone_astray(self, epoch: int, step: int, loss: float) -> UserError:
        steps = self.feed.steps_per_epoch
        rate, rows = self.learning_rate(epoch * steps + step), self.feed.batch(epoch, step)
        ids = [self.ids[row] for row in rows]
        if ranks.leads():
            about = {"epoch": epoch + 1, "step": step + 1, "learning_rate": rate, "loss": str(loss), "ids": ids}
            write_json(self.folder / STOPPED, about)
        what = "the gradient is not finite" if math.isfinite(loss) else f"the loss is {loss:g}"
        more = f" (all in {self.folder / STOPPED})" if len(ids) > SHOWN else ""
        return UserError(
            f"{self.folder.name}, epoch {epoch + 1}, step {step + 1} of {steps}: {what} at learning rate {rate:g} on "
            f"the images {listing(ids, SHOWN)}{more}; {self.way_out(rows)}"
        )

    def way_out(self, rows: np.ndarray) -> str:
        """What to do where what came of these rows is not finite."""
        finite = torch.stack([values[rows].isfinite().all(dim=1) for values in self.known]).all(dim=0).cpu().numpy()
        if not finite.all():
            wrong = listing(self.ids[row] for row in rows[~finite])
            return f"what is known of {wrong} (label, metadata) is not finite itself: mend it"
        clip = "" if self.recipe.clip_gradient else " or set --clip-gradient 1"
        return f"lower --learning-rate (now {self.recipe.learning_rate:g}){clip}"


def has_finite_weights(network: torch.nn.Module) -> bool:
    """Whether all parameters and buffers are finite. Waits for the device."""
    return bool(torch.stack([value.isfinite().all() for value in network.state_dict().values()]).all())
