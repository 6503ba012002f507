"""Several small trainings as one program: copies of a network that differ in learning rate and decay alone.

Their parameters are stacked, and each step is one forward and one backward pass over all of them (torch.func's model
ensembling). A small network leaves most of a GPU idle; several fill it. The optimizer is torch's own, on each copy.
"""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from common.recipe import Recipe
from common.train.gradients import Loss
from common.train.optim import learning_rate_at, optimizer_of, set_learning_rate


def train_together(
    module: nn.Module,
    cells: Sequence[Recipe],
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    steps_per_epoch: int,
    loss: Loss,
) -> list[nn.Module]:
    """A copy of `module` for each cell, trained as the cell's optimizer and schedule say: the same to within rounding
    as one after the other, but for dropout, which draws other numbers for each copy.

    Args:
        cells: recipes that differ in learning rate and weight decay, with no layer decay.
        batches: (inputs, targets) of all steps, on the module's device; every copy is shown the same.

    Raises:
        ValueError: the cells differ in more, or have a layer decay.
    """
    check_cells(cells)
    copies = [copy.deepcopy(module) for _ in cells]
    parameters, buffers = stack_module_state(copies)
    for number, one in enumerate(copies):
        live_in(one, parameters, buffers, number)
    optimizers = [optimizer_of(one, cell) for one, cell in zip(copies, cells, strict=True)]
    rates = [learning_rate_at(cell, steps_per_epoch) for cell in cells]

    def loss_of_one(weights, statistics, inputs, targets):
        return loss(functional_call(module, (weights, statistics), (inputs,)), targets)

    losses_of_all = vmap(loss_of_one, in_dims=(0, 0, None, None), randomness="different")
    for step, (inputs, targets) in enumerate(batches):
        losses = losses_of_all(parameters, buffers, inputs, targets)
        found = torch.autograd.grad(losses.sum(), list(parameters.values()))
        # Fused optimizers go through memory as it lies, whatever the strides of a gradient say.
        gradients = [torch.empty_like(v).copy_(g) for v, g in zip(parameters.values(), found, strict=True)]
        for number, (one, cell) in enumerate(zip(copies, cells, strict=True)):
            for value, gradient in zip(one.parameters(), gradients, strict=True):
                value.grad = gradient[number]
            if cell.clip_gradient:
                nn.utils.clip_grad_norm_(one.parameters(), cell.clip_gradient)
            set_learning_rate(optimizers[number], rates[number](step))
            optimizers[number].step()
    return copies


def live_in(one: nn.Module, parameters: dict, buffers: dict, number: int) -> None:
    """The tensors of a copy become its places in the stacked ones: what changes there changes here."""
    for name, value in one.named_parameters():
        value.data = parameters[name].data[number]
    for name, value in one.named_buffers():
        value.data = buffers[name].data[number]


def check_cells(cells: Sequence[Recipe]) -> None:
    alike = {cell.with_fields(learning_rate=1.0, weight_decay=0.0) for cell in cells}
    if len(alike) > 1 or cells[0].layer_decay != 1:
        raise ValueError("cells may differ in learning rate and weight decay alone, and have no layer decay")
