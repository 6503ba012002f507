"""What is to be done to a batch: the draws of its images, sorted by operation.

The steps of a chain fall into rounds, geometry first and colours after it. The geometry of a round is composed to one
map, so that pixels are looked up once a round; the first round reads the cache itself, and crops.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from common.augment.device.geometry import EXACT, WARPS
from common.augment.drawn import Drawn, Step

Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Group:
    """One operation, the squares it is applied to, int32 (m,), and its values for each, float32 (m, p)."""

    name: str
    members: Array
    values: Array

    def map(self, convert: Callable[[Array], Array]) -> "Group":
        return Group(self.name, convert(self.members), convert(self.values))


@dataclass(frozen=True)
class Round:
    """Stages of geometry, composed, and stages of colours after them: groups that share no square, one after the other.

    `moved`, int32 (k,), are the squares that have geometry; the members of its groups are positions in it. In the first
    round all squares are moved, for they come from the cache.
    """

    moved: Array
    geometry: list[list[Group]]
    colours: list[list[Group]]

    def map(self, convert: Callable[[Array], Array]) -> "Round":
        geometry, colours = (
            [[group.map(convert) for group in stage] for stage in stages] for stages in (self.geometry, self.colours)
        )
        return Round(convert(self.moved), geometry, colours)


@dataclass(frozen=True)
class Work:
    """What is done to n images.

    Attributes:
        crops: float32 (n, 6): top, left, height, width, mirrored across, mirrored down.
        rounds: over n × chains squares, those of one image side by side.
        shares: float32 (n, chains), of each square in its image; (n, 0): one square is the image.
    """

    crops: Array
    rounds: list[Round]
    shares: Array

    @property
    def chains(self) -> int:
        return max(self.shares.shape[1], 1)

    def map(self, convert: Callable[[Array], Array]) -> "Work":
        return Work(convert(self.crops), [round.map(convert) for round in self.rounds], convert(self.shares))

    def on(self, device: torch.device) -> "Work":
        """The same on a device, by one copy, which nothing waits for."""
        arrays: list[np.ndarray] = []
        self.map(lambda array: arrays.append(array) or array)
        flat = torch.from_numpy(np.concatenate([array.ravel().view(np.int32) for array in arrays]))
        if device.type == "cuda":
            flat = flat.pin_memory().to(device, non_blocking=True)
        parts = iter(zip(flat.split([array.size for array in arrays]), arrays, strict=True))

        def there(_: Array) -> torch.Tensor:
            part, array = next(parts)
            return (part.view(torch.float32) if array.dtype == np.float32 else part).view(array.shape)

        return self.map(there)


def work_of(drawn: Sequence[Drawn]) -> Work:
    """The draws of a batch, sorted."""
    crops = [
        (crop.box.top, crop.box.left, crop.box.height, crop.box.width, crop.across, crop.down)
        for crop in (one.crop for one in drawn)
    ]
    shares = [() if one.shares is None else one.shares for one in drawn]
    return Work(np.array(crops, np.float32), list(rounds(drawn)), np.array(shares, np.float32))


def rounds(drawn: Sequence[Drawn]) -> Iterator[Round]:
    chains = [rounds_of(chain) for one in drawn for chain in one.chains]
    for k in range(max(map(len, chains))):
        geometry, colours = ([chain[k][kind] if k < len(chain) else [] for chain in chains] for kind in (0, 1))
        moved = [square for square, steps in enumerate(geometry) if steps or k == 0]
        moves = stages([geometry[square] for square in moved])
        yield Round(np.array(moved, np.int32), moves, stages(colours))


def rounds_of(chain: list[Step]) -> list[tuple[list[Step], list[Step]]]:
    """The geometry and the colours of each round. A warp begins a round where colours precede it, or where it blends
    pixels: blending blends again looks softer than blending once, and the worker path blends at every step."""
    result: list[tuple[list[Step], list[Step]]] = [([], [])]
    for step in chain:
        if step.name in WARPS:
            if result[-1][1] or step.name not in EXACT:
                result.append(([], []))
            result[-1][0].append(step)
        else:
            result[-1][1].append(step)
    return result


def stages(steps: list[list[Step]]) -> list[list[Group]]:
    """The k-th steps of all squares, by operation, for each k."""
    result = []
    for k in range(max(map(len, steps), default=0)):
        members: dict[str, list[int]] = {}
        for square, own in enumerate(steps):
            if k < len(own):
                members.setdefault(own[k].name, []).append(square)
        result.append([group(name, squares, steps, k) for name, squares in sorted(members.items())])
    return result


def group(name: str, squares: list[int], steps: list[list[Step]], k: int) -> Group:
    return Group(name, np.array(squares, np.int32), np.stack([steps[square][k].values for square in squares]))
