"""Stochastic weight averaging (Izmailov et al. 2018): one network in the middle of several epochs' networks."""

from pathlib import Path

import torch
from torch.optim.swa_utils import update_bn

from common.feed import Feed
from common.models.tensors import write_tensors
from common.models.weights import read_weights
from common.precision import autocast
from common.train import ranks
from common.train.fold import Fold, step_seed


def average_weights(files: list[Path], fold: Fold, feed: Feed) -> Path:
    """Writes the mean of the weights of a trained fold's best epochs, and what else a prediction needs, beside them.

    The statistics of batch normalization are those of no network in the middle: they are measured anew in one pass over
    the training images, varied as in training (the paper's section 3.2).
    """
    states = [read_weights(file) for file in files]
    network = fold.best_network
    own = network.weights()
    network.load_weights({name: mean_of([state[name] for state in states]) for name in own})
    # Dropout and stochastic depth draw from torch's generator, whose state after a resumed training is another.
    torch.manual_seed(step_seed(fold.recipe.seed, fold.recipe.epochs, 0))
    with autocast(fold.device, training=True):
        update_bn((network.normalize(images) for images, _ in feed.epoch(0)), network.backbone)
        if fold.metadata is not None:
            update_bn((fold.metadata[rows] for _, rows in feed.epoch(0)), network.metadata)
    averaged = {name: value.contiguous() for name, value in network.weights().items()} | fold.remember(network)
    path = fold.folder / "weights-average.safetensors"
    if ranks.leads():
        write_tensors(path, averaged)
    return path


def mean_of(values: list[torch.Tensor]) -> torch.Tensor:
    """The mean in float32; of counters (whole numbers), the first."""
    if not values[0].is_floating_point():
        return values[0]
    return torch.stack([value.float() for value in values]).mean(0).to(values[0].dtype)
