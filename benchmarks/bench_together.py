"""A grid of small trainings as one program beside one after the other: when it pays.

    python -m benchmarks.bench_together [--cells 8]

Contestants take turns; the medians of the rounds are compared. On the GPU too, where there is one.
"""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from torch import nn

from benchmarks.table import Row, write
from common.models.build import build
from common.recipe import Recipe
from common.train.optim import learning_rate_at, optimizer_of, set_learning_rate
from common.train.together import train_together


@dataclass(frozen=True)
class Arguments:
    cells: int = 8
    """Trainings."""
    steps: int = 10
    """Of each."""
    rounds: int = 3
    """Turns of each contestant."""
    csv: str = ""
    """File for the table."""


def linear_head() -> tuple[nn.Module, torch.Tensor]:
    return nn.Linear(512, 5), torch.randn(128, 512)


def small_network() -> tuple[nn.Module, torch.Tensor]:
    network = build(Recipe(backbone="test_resnet", weights="none", input_size=32), 5)
    return network.backbone.train(), torch.randn(32, 3, 32, 32)


def seconds(of: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    of()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def train_alone(network: nn.Module, cell: Recipe, batches: list, loss: Callable) -> None:
    network = copy.deepcopy(network)
    optimizer, rate = optimizer_of(network, cell), learning_rate_at(cell, len(batches))
    for step, (inputs, targets) in enumerate(batches):
        set_learning_rate(optimizer, rate(step))
        optimizer.zero_grad(set_to_none=True)
        loss(network(inputs), targets).backward()
        optimizer.step()


def compare(name: str, make: Callable, device: torch.device, arguments: Arguments) -> Row:
    network, inputs = make()
    network, inputs = network.to(device), inputs.to(device)
    targets = torch.eye(5, device=device)[torch.arange(len(inputs), device=device) % 5]
    batches, loss = [(inputs, targets)] * arguments.steps, nn.CrossEntropyLoss()
    cells = [Recipe(learning_rate=1e-3 * (1 + number), epochs=1) for number in range(arguments.cells)]

    def one_after_the_other() -> None:
        for cell in cells:
            train_alone(network, cell, batches, loss)

    def at_once() -> None:
        train_together(network, cells, batches, arguments.steps, loss)

    rates: dict[Callable, list[float]] = {at_once: [], one_after_the_other: []}
    for number in range(arguments.rounds + 1):
        for way, of_way in rates.items():
            taken = seconds(way, device)
            if number:  # the first warms up
                of_way.append(arguments.cells * arguments.steps / taken)
    ours, theirs = (statistics.median(rate) for rate in rates.values())
    what = f"{arguments.cells} trainings as one program, {device.type.upper()}, {name}"
    return Row(what, ours, "steps/s", "one after the other", theirs)


def main(arguments: Arguments) -> None:
    kinds = {"linear head": linear_head, "small network at 32": small_network}
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    rows = [compare(name, make, torch.device(d), arguments) for d in devices for name, make in kinds.items()]
    if "cuda" not in devices:
        rows.append(Row(f"{arguments.cells} trainings as one program, GPU", None, "steps/s", note="no GPU here"))
    write(rows, arguments.csv)
    for row in rows:
        told = "not measured: no GPU here" if row.ours is None else f"{row.ours:,.0f} steps/s, {row.value:.2f}×"
        print(f"{row.what}: {told}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
