"""The zoo on a terminal, in 120 columns."""

import json
import textwrap
from dataclasses import asdict

from common.models.zoo import Model, zoo

WIDTH = 120
TITLES = {
    "grid": "The paper's 19 models",
    "augmentation": "ResNet-50 pre-trained with augmentation",
    "clip": "CLIP, the image tower",
}


def as_json() -> str:
    return json.dumps([asdict(model) for model in zoo().values()], indent=2)


def as_table() -> str:
    """Name, paper's name, top-1 as the paper prints it and as the library reports it, parameters, input size."""
    wide = max(map(len, zoo()))
    head = f"{'--backbone':<{wide}} {'model':<23} {'paper':>5} {'library':>7} {'params':>7} {'px':>3} weights of"
    lines = ["ImageNet top-1 in percent; the exact weights, preprocessing, augmentation and notes: --json", ""]
    for part, title in TITLES.items():
        models = [model for model in zoo().values() if model.part == part]
        lines += [title, head, *(_row(model, wide) for model in models), ""]
    notes = dict.fromkeys(model.note for model in zoo().values() if model.note)
    for note in notes:
        names = ", ".join(model.paper_name for model in zoo().values() if model.note == note)
        lines += textwrap.wrap(f"* {names}: {note}.", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def _row(model: Model, wide: int) -> str:
    reported = f"{model.library_top1:.1f}" if model.library_top1 is not None else ""
    starred = model.paper_name + ("*" if model.note else "")
    holder = "torchvision" if "_Weights." in model.weights else "timm"
    return (
        f"{model.name:<{wide}} {starred:<23} {model.published_top1:>5.1f} {reported:>7} "
        f"{model.parameters / 1e6:>6.1f}M {model.input_size:>3} {holder}, {model.licence}"
    )
