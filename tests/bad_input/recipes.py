"""What can be wrong with a recipe: every field of it, a combination, a recipe file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import Case

OUT_OF_RANGE = {
    "backbone": ("",),
    "weights": ("",),
    "drop_rate": (
        "1",
        "-0.1",
    ),
    "drop_path": (
        "1",
        "nan",
    ),
    "input_size": (
        "31",
        "2049",
    ),
    "channels": (
        "0",
        "17",
    ),
    "strength": (
        "-1",
        "3.1",
        "nan",
    ),
    "mixup": (
        "-0.1",
        "inf",
    ),
    "cutmix": (
        "-0.1",
        "nan",
    ),
    "label_smoothing": (
        "1",
        "-1",
    ),
    "auxiliary": (
        "-1",
        "inf",
    ),
    "class_balance": (
        "1.1",
        "-0.1",
    ),
    "learning_rate": (
        "0",
        "-1",
        "nan",
        "inf",
        "1e999",
    ),
    "weight_decay": (
        "-1",
        "nan",
    ),
    "layer_decay": (
        "0",
        "1.1",
    ),
    "probe_share": (
        "1",
        "-0.5",
    ),
    "probe_learning_rate": (
        "0",
        "nan",
    ),
    "probe_weight_decay": (
        "-1",
        "inf",
    ),
    "step_epochs": (
        "0",
        "-3",
    ),
    "warmup_epochs": (
        "-1",
        "inf",
    ),
    "epochs": (
        "0",
        "-1",
    ),
    "batch_size": (
        "1",
        "0",
        "999999999999999999",
    ),
    "micro_batch": (
        "-1",
        "1",
        "999999999999999999",
    ),
    "ema": (
        "1",
        "-0.1",
    ),
    "clip_gradient": (
        "-1",
        "inf",
    ),
    "patience": ("-1",),
    "checkpoints": ("0",),
    "folds": (
        "1",
        "51",
    ),
    "only_folds": (
        "5",
        "-1",
    ),
    "suspect_share": (
        "0",
        "0.6",
    ),
    "seed": (
        "-1",
        "4294967296",
    ),
}
"""Field → values that no recipe takes."""

OF_ANOTHER_KIND = {
    "pooling": ("max",),
    "drop_rate": ("much",),
    "head_init": ("one",),
    "input_size": (
        "224.5",
        "big",
    ),
    "channels": ("three",),
    "normalization": ("none",),
    "color_order": ("grb",),
    "preparation": ("square",),
    "augment": ("hevy",),
    "flips": ("vertical",),
    "loss": ("hinge",),
    "optimizer": ("adam",),
    "schedule": ("linear",),
    "step_epochs": ("x",),
    "epochs": (
        "1.5",
        "1e3",
    ),
    "batch_size": ("ten",),
    "average": ("median",),
    "split": ("half",),
    "suspects": ("keep",),
    "seed": ("1.5",),
    "tta": ("twice",),
    "decision": ("guess",),
}
"""Field → words that are no value of its kind."""

NOT_SWITCHES = {
    "gradient_checkpointing": ("maybe",),
    "metadata": ("2",),
    "decay_over_learning_rate": ("perhaps",),
}

NOT_FOUND = {
    "backbone": ("resnet51",),
    "weights": ("nowhere.safetensors",),
    "external": ("nowhere",),
    "pseudo": ("0123456789ab",),
    "clean": ("0123456789ab",),
}
"""Field → names of what is not there."""

CONTRADICTIONS = [
    ("step without epochs", "--schedule step", "needs step_epochs"),
    ("a fold that is not there", "--folds 2 --only-folds 2", "only_folds must lie in 0..1"),
    ("a fold named twice", "--only-folds 1 1", "each fold once"),
    ("folds of the paper's split", "--split paper --only-folds 0", "only_folds goes with split 'folds'"),
    ("BGR of one channel", "--color-order bgr --channels 1", "three channels or more"),
    ("a probe of all epochs", "--probe-share 0.1 --epochs 2", "leaves one part empty"),
    ("weights of one checkpoint averaged", "--average weights", "two checkpoints or more"),
    ("metadata mixed", "--metadata --mixup 0.2", "metadata goes with neither mixup nor cutmix"),
    ("a regression decided by argmax", "--loss l1 --decision argmax", "needs decision 'round'"),
    ("a grade regressed where there is none", "--loss smooth_l1 --decision round", "smooth_l1"),
    ("metadata where there is none", "--metadata", "metadata"),
    ("external data where there is none", "--external nowhere", "external"),
    ("thirteen channels of three", "--channels 13", "channels"),
    ("mixup by nearly nothing", "--mixup 1e-30", "an alpha is 0 (off), or at least 0.001"),
    ("an unknown field", "--learnin-rate 1", "no option --learnin-rate (did you mean '--learning-rate'?)"),
    ("a field without a value", "--epochs", "--epochs"),
    ("an unknown recipe", "--recipe papre", "no 'papre' (did you mean 'paper'?)"),
]

OPTIONS = [
    ("workers", "-2", "workers: must be from -1 to 1024"),
    ("workers", "1000000", "workers: must be from -1 to 1024"),
    ("workers", "many", "--workers"),
    ("state-every", "-1", "state_every: must be 0 seconds or more"),
    ("state-every", "nan", "state_every: must be 0 seconds or more"),
    ("device", "tpu", "--device"),
    ("feed", "disk", "--feed"),
    ("cache-format", "png", "--cache-format"),
    ("compile", "yes", "--compile"),
    ("data", "nowhere", "no data of"),
    ("data", "x" * 300, "File name too long (xxx"),
]


def recipe_file(content: Any) -> Callable[[Path], None]:
    """`bad.json` in the working folder: text, bytes or what JSON makes of it."""

    def spoil(raw: Path) -> None:
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        (raw.parent.parent / "bad.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    return spoil


def fields(**values: Any) -> Callable[[Path], None]:
    return recipe_file({"recipe": values})


def nothing(_: Path) -> None:
    """The download is as it should be."""


def folder_called_recipe(raw: Path) -> None:
    (raw.parent.parent / "bad.json").mkdir()


FILES = [
    ("that is not there", nothing, "cannot read bad.json: No such file"),
    ("that is a folder", folder_called_recipe, "cannot read bad.json: Is a directory"),
    ("of no bytes", recipe_file(""), "bad.json is not JSON"),
    ("that breaks off", recipe_file('{"recipe": {"epochs": '), "bad.json is not JSON"),
    ("that is no text", recipe_file(b"\x89PNG\xff\xfe\0"), "bad.json is not JSON"),
    ("nested without end", recipe_file('{"recipe": ' + "[" * 100_000), "bad.json is not JSON: it is nested too deeply"),
    ("that is a list", recipe_file([1, 2]), "bad.json holds no recipe"),
    ("without a recipe", recipe_file({"epochs": 3}), "bad.json holds no recipe"),
    ("whose recipe is a number", recipe_file({"recipe": 3}), "bad.json holds no recipe"),
    ("with an unknown field", fields(epoch=3), "bad.json: a recipe has no field 'epoch' (did you mean 'epochs'?)"),
    ("with a word for a number", fields(epochs="many"), "bad.json: recipe: epochs"),
    ("with a number for a word", fields(backbone=50), "bad.json: recipe: backbone"),
    ("with null", fields(learning_rate=None), "bad.json: recipe: learning_rate"),
    ("with NaN", fields(learning_rate=float("nan")), "bad.json: recipe: learning_rate"),
    ("with infinity", fields(mixup=float("inf")), "bad.json: recipe: mixup"),
    ("with a list for a number", fields(epochs=[3]), "bad.json: recipe: epochs"),
    ("with a number for a list", fields(only_folds=1), "bad.json: recipe: only_folds"),
    ("with an endless number", recipe_file('{"recipe": {"epochs": 1' + "0" * 5000 + "}}"), "bad.json"),
    ("with a field twice", recipe_file('{"recipe": {"epochs": 0, "epochs": -2}}'), "epochs"),
]


def words_of(field: str, value: str) -> tuple[str, ...]:
    return ("train", "--input-size", "32", "--folds", "2", f"--{field.replace('_', '-')}", value)


def field_case(field: str, value: str, said: str, quick: bool) -> Case:
    return Case(f"recipe: {field} {value!r}", nothing, said, ("cassava",), words_of(field, value), quick=quick)


def each(table: dict[str, tuple[str, ...]], said: Callable[[str, str], str]) -> list[Case]:
    pairs = [(field, value, values) for field, values in table.items() for value in values]
    return [field_case(field, value, said(field, value), value == values[0]) for field, value, values in pairs]


CASES = [
    *each(OUT_OF_RANGE, lambda field, _: f"recipe: {field}"),
    *each(OF_ANOTHER_KIND, lambda field, _: f"--{field.replace('_', '-')}"),
    *each(NOT_SWITCHES, lambda _, value: f"'{value}' belongs to no option"),
    *each(NOT_FOUND, lambda _, value: value),
    *(
        Case(f"recipe: {name}", nothing, said, ("cifar10",), ("train", *words.split()))
        for name, words, said in CONTRADICTIONS
    ),
    *(
        Case(f"option: {name} {value[:20]}", nothing, said, ("cassava",), ("prepare", f"--{name}", value))
        for name, value, said in OPTIONS
    ),
    *(
        Case(f"a recipe file {name}", spoil, said, ("cassava",), ("train", "--recipe", "bad.json"))
        for name, spoil, said in FILES
    ),
]
