"""The gradient of a batch: at once, or in parts where memory asks for it; of this process's share, where several work.

The batch stays what the recipe says, and the gradients of its parts are added up before the one step of the optimizer.
So the learning rate stays as well: no rule has to scale it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from common.compiled import Compiled
from common.errors import UserError
from common.models.build import Network
from common.precision import autocast
from common.train import ranks

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Mix = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
FEWEST = 2
"""Images that batch normalization needs in a part."""


@dataclass(frozen=True)
class Execution:
    """How a machine computes what the recipe asks for.

    - `micro_batch`: images at a time, over all processes; 0: the whole batch.
    - `smaller`: told the new number when memory ran out.
    - `compiled`: whether torch.compile fuses the network and its loss; `not_compiled` is told why it could not.
    """

    micro_batch: int = 0
    smaller: Callable[[int], None] = lambda images: None
    compiled: bool = False
    not_compiled: Callable[[str], None] = lambda reason: None


class LossOf(nn.Module):
    """Normalized images, their targets and what is known beside them → the mean loss: what is compiled, and what
    several processes share."""

    def __init__(self, network: Network, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor, beside: torch.Tensor | None) -> torch.Tensor:
        return self.loss(self.network.answer(inputs, beside).float(), targets)


class Gradients:
    """Leaves the gradient of a batch's mean loss in the `.grad` of the network's parameters.

    In parts it is the same to within rounding, but for what looks at the other images of its part: batch normalization,
    whose statistics are those of a part, and the Lovász loss. Dropout draws other numbers.
    """

    def __init__(self, network: Network, loss: Loss, mix: Mix | None, device: torch.device, how: Execution) -> None:
        self.network, self.mix, self.device, self.how = network, mix, device, how
        self.micro_batch = how.micro_batch
        self.shared = ranks.shared(LossOf(network, loss))
        self.loss = Compiled(self.shared, how.not_compiled) if how.compiled else self.shared
        self.statistics = list(network.buffers())
        self.kept = [buffer.clone() for buffer in self.statistics]

    @property
    def to_compile(self) -> bool:
        """Whether the next batch waits for the compiler."""
        return isinstance(self.loss, Compiled) and self.loss.cold

    def __call__(
        self, seed: int, images: torch.Tensor, targets: torch.Tensor, beside: torch.Tensor | None, whole: int
    ) -> torch.Tensor:
        """The mean loss of the batch, a scalar on the device. Where memory runs out, the parts are halved, for good,
        and the batch is computed again from its `seed`.

        Args:
            images: uint8 (n, C, H, W), this process's share of the batch's `whole` images.
            targets: float (n, outputs).
            beside: metadata, float (n, d), or None.

        Raises:
            UserError: not even two images at a time fit; or, where several processes would wait for this one, that the
                command has to be started again, which then takes smaller parts.
        """
        while (loss := self.attempt(seed, images, targets, beside, whole)) is None:
            self.halve(whole)
        return loss

    def attempt(self, seed: int, images, targets, beside, whole: int) -> torch.Tensor | None:
        """None where memory ran out; everything is then as it was. (What was allocated is freed with this frame.)"""
        torch._foreach_copy_(self.kept, self.statistics)
        try:
            return self.accumulate(seed, images, targets, beside, whole)
        except torch.OutOfMemoryError:
            torch._foreach_copy_(self.statistics, self.kept)
            return None

    def accumulate(self, seed: int, images, targets, beside, whole: int) -> torch.Tensor:
        self.network.zero_grad(set_to_none=True)
        torch.manual_seed(seed)
        inputs = self.network.normalize(images)
        if self.mix:
            inputs, targets = self.mix(inputs, targets)
        total = torch.zeros((), device=self.device)
        for part, share, sync in self.parts(len(images), whole):
            with sync:
                with autocast(self.device, training=True):
                    loss = self.loss(inputs[part], targets[part], None if beside is None else beside[part])
                (loss * (share * ranks.world())).backward()  # the processes' gradients are averaged
            total += loss.detach() * share
        return ranks.summed(total)

    def parts(self, n: int, whole: int) -> Iterator[tuple[slice, float, object]]:
        """Slices of this process's n images, what share of the whole batch each is, and in which context it is
        computed: the processes exchange their gradients with the last part."""
        count = min(math.ceil(whole / (self.micro_batch or whole)), whole // ranks.world())
        ends = [n * part // count for part in range(count + 1)]
        for number, (start, end) in enumerate(pairwise(ends), start=1):
            sync = nullcontext() if number == count else ranks.not_yet(self.shared)
            yield slice(start, end), (end - start) / whole, sync

    def halve(self, whole: int) -> None:
        images = min(self.micro_batch or whole, whole)
        if images <= FEWEST * ranks.world():
            raise UserError(
                f"memory runs out with {images} images at a time: a smaller --input-size or --backbone, or "
                "--gradient-checkpointing True, takes less"
            )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.micro_batch = max(images // 2, FEWEST * ranks.world())
        self.how.smaller(self.micro_batch)
        if ranks.world() > 1:
            raise ranks.TryAgain(f"memory ran out; the same command goes on with {self.micro_batch} images at a time")
