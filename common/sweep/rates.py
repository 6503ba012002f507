"""How fast a network trains here: images a second, from runs that are finished, else measured in a few steps."""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from common.files import read_json, write_json
from common.progress import Progress
from common.recipe import Recipe
from common.sweep.engine import Crash, Engine
from common.sweep.state import Task, seconds_of, state_of

FILE = "rates.json"
LONG_ENOUGH = 2.0
"""Seconds of measured steps."""
ON_CPU = 4
"""Images in a measured step without a GPU, where a whole batch of a large network takes a minute."""


@dataclass(frozen=True)
class Speed:
    """What is measured: a recipe, so far as it decides how fast a step is."""

    recipe: Recipe
    device: str = "auto"
    threads: int = 0

    @property
    def key(self) -> str:
        recipe = self.recipe
        return f"{recipe.backbone} {recipe.optimizer} {recipe.channels}x{recipe.input_size} batch {recipe.batch_size}"


def rates(tasks: Iterable[Task], engine: Engine, runs: Path, cache: Path, device: str) -> dict[str, float]:
    """`Speed.key` → images/s that one worker trains, for every task; those that could not be measured are left out.

    What was measured stays in `cache`, under the engine's name.
    """
    finished, speeds = defaultdict(list), {}
    for task in tasks:
        speed = Speed(task.job.recipe, device, engine.threads)
        speeds[speed.key] = speed
        seconds = seconds_of(task.folder(runs))
        if seconds and state_of(task.folder(runs)).kind == "done":
            finished[speed.key].append(task.images / seconds)
    known = read_json(cache / FILE) if (cache / FILE).is_file() else {}
    measured = known.setdefault(engine.name, {})
    missing = [speed for key, speed in speeds.items() if key not in finished and key not in measured]
    with Progress(len(missing), "measuring how fast each network trains", "networks") as progress:
        for speed, rate in engine.map(measure, missing):
            progress.update(1)
            if not isinstance(rate, Crash):
                measured[speed.key] = round(rate, 2)
                write_json(cache / FILE, known)
    found = {key: measured[key] for key in speeds if key in measured}
    return found | {key: statistics.median(of_runs) for key, of_runs in finished.items()}


def measure(speed: Speed) -> float:
    """Images/s of training steps on one batch of noise, from random weights."""
    import torch

    from common.models.build import build
    from common.options import Options
    from common.precision import autocast
    from common.train.optim import optimizer_of

    if speed.threads:
        torch.set_num_threads(speed.threads)
    device = Options(device=speed.device).torch_device()
    recipe = speed.recipe.with_fields(weights="none", layer_decay=1.0)
    n = recipe.batch_size if device.type == "cuda" else min(ON_CPU, recipe.batch_size)
    network = build(recipe, 10).to(device, memory_format=torch.channels_last).train()
    images = torch.randint(256, (n, recipe.channels, recipe.input_size, recipe.input_size), dtype=torch.uint8)
    images, labels = images.to(device), torch.zeros(n, dtype=torch.long, device=device)
    optimizer = optimizer_of(network, recipe)

    def step() -> None:
        with autocast(device, training=True):
            loss = torch.nn.functional.cross_entropy(network.answer(network.normalize(images)).float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    step()
    start, steps = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < LONG_ENOUGH:
        step()
        steps += 1
    return n * steps / seconds
