"""torch.compile where it works, and what it compiles as it is where it does not."""

from collections.abc import Callable
from typing import Any

import torch


class Compiled:
    """A module or a function behind torch.compile. The first call takes a minute.

    What cannot be compiled, or a machine without a compiler, is told once to `give_up(reason)`, and the module computes
    as it is from there on: the result is the same to within rounding.
    """

    def __init__(self, module: Callable[..., torch.Tensor], give_up: Callable[[str], None]) -> None:
        self.call, self.module, self.give_up = torch.compile(module), module, give_up
        self.cold = True

    def __call__(self, *arguments: Any) -> torch.Tensor:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self.call(*arguments)
        except TorchDynamoException as error:
            if self.call is self.module:
                raise
            self.call = self.module
            self.give_up(" ".join(str(error).split("\n")[:2]))  # in which step it failed, and of what
            return self.call(*arguments)
        finally:
            self.cold = False
