"""A run's networks for other programs: safetensors, and ONNX from uint8 images to outputs."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import torch

from common.errors import UserError
from common.files import write_atomically
from common.models.build import Network, build
from common.models.weights import BRANCH, GALLERY, read_weights, split
from common.recipe import Recipe
from common.run import Run

OPSET = 20
NAMES = ("images", "metadata")
LARGEST_DIFFERENCE = 1e-3


def export(run: Run, folder: Path) -> None:
    """Write `fold-<k>-<checkpoint>.safetensors` and `.onnx` for every checkpoint that a run kept.

    The ONNX network takes `images`, uint8 (N, C, S, S) with any N, three channels being RGB, and `metadata`, float32
    (N, d), where the run has it; normalization is inside. It gives `outputs`, float32 (N, K) before any activation.

    Raises:
        UserError: the run has no weights, or ONNX Runtime answers otherwise than the network.
    """
    files = [file for _, file in run.weights()]
    if not files:
        raise UserError(f"export: {run.folder} has no finished fold; train it first")
    for file in files:
        target = folder / f"{file.parent.name}-{file.stem}.onnx"
        network = network_of(run.recipe, file)
        difference = write_onnx(network, example(run.recipe, network, 2), target)
        copy = target.with_suffix(".safetensors")
        write_atomically(copy, lambda temporary, file=file: shutil.copyfile(file, temporary))
        print(f"{copy} and {target}: largest difference {difference:.1e} of outputs on random images", flush=True)


def network_of(recipe: Recipe, file: Path) -> Network:
    """The network of a run's weights file, whose numbers of outputs and of metadata columns the tensors tell."""
    state, _ = split(read_weights(file), GALLERY)
    columns = state[f"{BRANCH}0.weight"].shape[1] if recipe.metadata else 0
    with torch.device("meta"):
        head = build(recipe, outputs=1, weights=False).head
    network = build(recipe, state[f"{head}.weight"].shape[0], weights=False, metadata=columns)
    network.load_weights(state)
    return network.eval()


def example(recipe: Recipe, network: Network, n: int) -> tuple[torch.Tensor, ...]:
    """Random images uint8 (n, C, S, S), and metadata where the network takes it."""
    generator = torch.Generator().manual_seed(n)
    shape = (n, recipe.channels, recipe.input_size, recipe.input_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if network.metadata is None:
        return (images,)
    return images, torch.randn(n, network.metadata[0].in_features, generator=generator)


def write_onnx(network: Network, inputs: tuple[torch.Tensor, ...], file: Path) -> float:
    """Write the network, whole or not at all; the largest difference of ONNX Runtime's outputs from its own.

    Raises:
        UserError: it is above LARGEST_DIFFERENCE, on as many images as the export saw or on more.
    """
    batch = torch.export.Dim("batch")
    differences = []

    def write(temporary: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, about torch's insides
            torch.onnx.export(
                network,
                inputs,
                str(temporary),
                input_names=list(NAMES[: len(inputs)]),
                output_names=["outputs"],
                opset_version=OPSET,
                dynamic_shapes=({0: batch},) * len(inputs),
                external_data=False,
                verbose=False,
            )
        more = tuple(torch.cat((value, value.flip(0)[:1])) for value in inputs)
        differences.extend(difference(network, temporary, values) for values in (inputs, more))
        if not max(differences) <= LARGEST_DIFFERENCE:
            raise UserError(f"export: {file.name} would differ by {max(differences):.1e} from the network's outputs")

    write_atomically(file, write)
    return max(differences)


def difference(network: Network, file: Path, inputs: tuple[torch.Tensor, ...]) -> float:
    """The largest absolute difference between the outputs of an ONNX file and the network's own."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, dict(zip(NAMES, (value.numpy() for value in inputs), strict=False)))
    with torch.inference_mode():
        return float(np.abs(network(*inputs).numpy() - theirs).max())
