"""What can be wrong with a file of weights."""

import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import Case

BACKBONE = "test_resnet"
TRAIN = (
    *("train", "--backbone", BACKBONE, "--input-size", "32", "--folds", "2", "--epochs", "1", "--batch-size", "4"),
    *("--workers", "0", "--only-folds", "0", "--tta", "none", "--device", "cpu"),
)


def network_state() -> dict:
    import timm

    return timm.create_model(BACKBONE, num_classes=5).state_dict()


def in_file(name: str, content: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda raw: (raw.parent.parent / name).write_bytes(content()) and None


def safetensors(edit: Callable[[dict], dict | None] = lambda state: None) -> Callable[[], bytes]:
    """A file that fits, of a state dict after `edit`."""

    def content() -> bytes:
        from safetensors.torch import save

        state = network_state()
        return save(edit(state) or state)

    return content


def pickled(value: Callable[[], object]) -> Callable[[], bytes]:
    def content() -> bytes:
        import io

        import torch

        buffer = io.BytesIO()
        torch.save(value(), buffer)
        return buffer.getvalue()

    return content


class Code:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("owned"),))


def set_first(value: float) -> Callable[[dict], None]:
    def edit(state: dict) -> None:
        next(tensor for tensor in state.values() if tensor.is_floating_point()).view(-1)[0] = value

    return edit


def misshapen(state: dict) -> dict:
    import torch

    return state | {"conv1.0.weight": torch.zeros(3)}


def renamed(state: dict) -> dict:
    return {f"module.{name}": tensor for name, tensor in state.items()}


def halved(state: dict) -> dict:
    return of_type("float16")(state)


def of_type(name: str) -> Callable[[dict], dict]:
    """Every float as this type of torch's."""

    def edit(state: dict) -> dict:
        import torch

        type_ = getattr(torch, name)
        return {name: tensor.to(type_) if tensor.is_floating_point() else tensor for name, tensor in state.items()}

    return edit


def unlisted(raw: Path) -> None:
    """A folder whose list of checksums speaks of other bytes."""
    folder = raw.parent.parent / "weights"
    folder.mkdir()
    (folder / f"{BACKBONE}.safetensors").write_bytes(safetensors()())
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(b'other').hexdigest()}  {BACKBONE}.safetensors\n")


def list_that_is_no_text(raw: Path) -> None:
    unlisted(raw)
    (raw.parent.parent / "weights/SHA256SUMS").write_bytes(b"\xff\xfe\0")


def no_code_was_run(_: Path, __: str) -> None:
    assert not Path("owned").exists()


def refused(name: str, file: str, content: Callable[[], bytes], said: str) -> Case:
    words = (*TRAIN, "--weights", file)
    return Case(f"weights: {name}", in_file(file, content), said, ("cassava",), words, check=no_code_was_run)


def header(content: dict) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


CASES = [
    Case(
        "weights: no file",
        lambda raw: None,
        "no file w.safetensors",
        ("cassava",),
        (*TRAIN, "--weights", "w.safetensors"),
    ),
    refused("no bytes", "w.safetensors", lambda: b"", "cannot read w.safetensors"),
    refused("text", "w.safetensors", lambda: b"hello " * 99, "cannot read w.safetensors"),
    refused("a file that breaks off", "w.safetensors", lambda: safetensors()()[:-1000], "cannot read w.safetensors"),
    refused(
        "a header of a million terabytes",
        "w.safetensors",
        lambda: struct.pack("<Q", 2**60),
        "cannot read w.safetensors",
    ),
    refused("a header that is no JSON", "w.safetensors", lambda: struct.pack("<Q", 5) + b"{'a':", "cannot read"),
    refused(
        "tensors beyond the file",
        "w.safetensors",
        lambda: header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
        "cannot read",
    ),
    refused("of another shape", "w.safetensors", safetensors(misshapen), "of another shape: conv1.0.weight (3,)"),
    refused("of another network's names", "w.safetensors", safetensors(renamed), "missing: conv1.0.weight"),
    refused("of no tensors", "w.safetensors", safetensors(lambda state: {"x": state["fc.bias"]}), "missing: conv1"),
    refused("NaN", "w.safetensors", safetensors(set_first(float("nan"))), "NaN or infinite values in conv1.0.weight"),
    refused("infinity", "w.safetensors", safetensors(set_first(float("inf"))), "NaN or infinite values in"),
    refused("8-bit integers", "w.safetensors", safetensors(of_type("int8")), "not of 16, 32 or 64 bits: "),
    refused("8-bit floats", "w.safetensors", safetensors(of_type("float8_e4m3fn")), "torch.float8_e4m3fn"),
    refused("complex numbers", "w.safetensors", safetensors(of_type("complex64")), "torch.complex64"),
    refused("a pickle of no bytes", "w.pth", lambda: b"", "cannot read w.pth: EOFError"),
    refused("a pickle with code", "w.pth", lambda: pickle.dumps({"a": Code()}), "code in it is not run"),
    refused("a pickle with code in torch's archive", "w.pth", pickled(lambda: {"a": Code()}), "code in it is not run"),
    refused("a pickle with code called .safetensors", "w.safetensors", pickled(lambda: {"a": Code()}), "cannot read"),
    refused(
        "a checkpoint with more than tensors",
        "w.pth",
        pickled(lambda: {"epoch": 3, "state_dict": network_state()}),
        "holds more than a state dict: epoch",
    ),
    refused("a list", "w.pth", pickled(lambda: [1, 2]), "w.pth holds a list"),
    refused("a tensor alone", "w.pth", pickled(lambda: network_state()["fc.bias"]), "w.pth holds a Tensor"),
    refused("a whole network", "w.pth", pickled(lambda: __import__("torch").nn.Linear(2, 2)), "cannot read w.pth"),
    Case("weights: other bytes than listed", unlisted, "is not what", ("cassava",), (*TRAIN, "--weights", "weights")),
    Case(
        "weights: a folder without the file",
        lambda raw: (raw.parent.parent / "weights").mkdir(),
        f"no {BACKBONE}.safetensors in weights",
        ("cassava",),
        (*TRAIN, "--weights", "weights"),
    ),
    Case(
        "weights: a list of checksums that is no text",
        list_that_is_no_text,
        "held-out images",
        ("cassava",),
        (*TRAIN, "--weights", "weights"),
        handled=True,
    ),
    Case(
        "weights: 16-bit numbers",
        in_file("w.safetensors", safetensors(halved)),
        "held-out images",
        ("cassava",),
        (*TRAIN, "--weights", "w.safetensors"),
        handled=True,
    ),
]
