"""Several processes at one training, one a GPU, as torchrun starts them: the first leads, the others follow.

The leader does all there is to do, and is the only one who writes. The followers wait for a training to take part in
(`common.train.follow`). Without torchrun there is one process, and every function here is what it is for one.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from common.errors import UserError

PATIENCE = timedelta(days=7)
"""How long a process waits for another that prepares images or decides a fold. One that died ends all: see `launch`."""


class TryAgain(UserError):
    """The same command, started again, gets further; `common.launch` does so."""

    exit_code = os.EX_TEMPFAIL


def join() -> None:
    """Meet the other processes that torchrun started, each with a GPU of its own where there are as many."""
    if torch.cuda.device_count() > int(os.environ["LOCAL_RANK"]):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)


def part() -> None:
    distributed.destroy_process_group()


def fails_first() -> bool:
    """Whether no other process has failed before: they often fail of the same."""
    if not distributed.is_initialized():
        return os.environ["RANK"] == "0"
    store = distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return store.add(f"failed in start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", 1) == 1


def world() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def leads() -> bool:
    return rank() == 0


def agreed(value: Any) -> Any:
    """The leader's value, any that can be pickled, in every process."""
    if world() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def wait_for_the_leader() -> None:
    agreed(None)


def check_enough(*counts: int) -> None:
    """Raises UserError where a process would go without an image; counts of 0 are of what there is not."""
    if any(0 < count < world() for count in counts):
        raise UserError(f"{min(filter(None, counts))} images for {world()} processes; set GPUS to fewer")


def summed(value: torch.Tensor) -> torch.Tensor:
    """The sum over the processes; nothing waits for it."""
    if world() > 1:
        distributed.all_reduce(value)
    return value


def mine(rows: np.ndarray) -> np.ndarray:
    """This process's share of `rows` (n,): every world-th one."""
    return rows[rank() :: world()]


def together(shares: np.ndarray, axis: int = 0) -> np.ndarray:
    """The inverse of `mine` for what became of each row: every process has the whole, in the order of the rows."""
    if world() == 1:
        return shares
    parts: list[Any] = [None] * world()
    distributed.all_gather_object(parts, shares)
    parts = [np.moveaxis(part, axis, 0) for part in parts]
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    for start, part in enumerate(parts):
        whole[start :: world()] = part
    return np.moveaxis(whole, 0, axis)


def shared(module: nn.Module) -> nn.Module:
    """The module, whose gradients are averaged over the processes."""
    return nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True) if world() > 1 else module


def not_yet(module: nn.Module) -> AbstractContextManager:
    """In this context a `shared` module keeps its gradients to itself: more are to be added."""
    return module.no_sync() if world() > 1 else nullcontext()


def with_common_statistics(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with batch normalization over the images of all processes, which torch has for GPUs alone: on a CPU
    each process's statistics are those of its share."""
    if world() == 1 or device.type != "cuda":
        return network
    from timm.layers import convert_sync_batchnorm

    return convert_sync_batchnorm(network)


def with_the_leaders_statistics(*networks: nn.Module) -> None:
    if world() > 1:
        for network in networks:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)
