"""The Ray engine: a cluster that exists, or one on this machine alone."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.options import Options
from common.sweep.engine import Crash, gpu_share
from common.sweep.local import call

RETRIES = 3
"""How often a run goes on elsewhere after its node or its process died, before that counts as its own failure."""
AHEAD = 2
"""Runs in the cluster's queue for each that it has room for: enough for one that grows."""
CODE = ("common", "competitions")


class RayEngine:
    """Each item is a Ray task of its own, with the resources that its recipe asks for.

    The code travels with the tasks, so that nodes need an environment alike and no checkout of the project.
    """

    def __init__(self, address: str, options: Options, cpus: int = 0) -> None:
        address = address or os.environ.get("RAY_ADDRESS", "") or "local"
        check_reachable(address)
        import ray

        self.ray, self.cpus = ray, cpus
        root = Path(__file__).parents[2]
        code = [str(root / name) for name in CODE if (root / name).is_dir()]
        try:
            ray.init(address, log_to_driver=False, logging_level="warning", runtime_env={"py_modules": code})
        except (ConnectionError, RuntimeError) as error:
            raise UserError(f"address: no Ray cluster at {address} ({error}); `ray start --head` starts one") from error
        there = ray.cluster_resources()
        self.gpu = options.device == "cuda" or (options.device == "auto" and there.get("GPU", 0) > 0)
        self.cpus_a_gpu = max(1.0, there.get("CPU", 1) / max(there.get("GPU", 1), 1))
        self.name = f"ray at {ray.get_runtime_context().gcs_address}" if address != "local" else "ray here"

    @property
    def threads(self) -> int:
        """Of a run on CPUs."""
        return 0 if self.gpu else self.cpus or 1

    @property
    def workers(self) -> int:
        there = self.ray.cluster_resources()
        room = there.get("GPU", 0) if self.gpu else there.get("CPU", 0) / (self.cpus or 1)
        return max(1, int(room))

    def resources(self, item: Any) -> dict[str, float]:
        """Of an item with a `recipe`."""
        if not self.gpu:
            return {"num_cpus": self.cpus or 1}
        share = gpu_share(item.recipe)
        return {"num_cpus": self.cpus or max(1, int(share * self.cpus_a_gpu)), "num_gpus": share}

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        ray, queue, running = self.ray, iter(items), {}
        remote = ray.remote(call)
        try:
            while True:
                while len(running) < AHEAD * self.workers and (item := next(queue, self)) is not self:
                    task = remote.options(max_retries=RETRIES, **self.resources(item))
                    running[task.remote(function, item)] = item
                if not running:
                    return
                ended, _ = ray.wait(list(running), num_returns=1, timeout=10.0)
                for reference in ended:
                    yield running.pop(reference), self.result(reference)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def result(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return Crash(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def close(self) -> None:
        self.ray.shutdown()


def check_reachable(address: str) -> None:
    """Raises UserError where nobody answers at `host:port`: Ray itself would try for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if not sign:
        return  # 'local' or 'auto'
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UserError(f"address: no Ray cluster at {address} ({error}); `ray start --head` starts one") from error
