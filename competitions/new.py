"""`new-competition`: writes the folder of a competition of one's own, as far as its data tell what belongs there."""

import json
import keyword
import re
import shutil
import textwrap
from dataclasses import fields
from pathlib import Path

from common.archive import folders_in, unpacked
from common.errors import UserError
from common.files import cannot_write, write_text
from common.leftovers import in_the_making, sweep_up
from common.plain import ClassFolders, LabelTable
from competitions.__main__ import VERBS
from competitions.arguments import take
from competitions.sources import DATA

HERE = Path(__file__).parent
RESERVED = (*VERBS, "practice", "sample", "bench", "help")
PLACEHOLDER = ClassFolders(("first_class", "second_class"))
WIDTH = 120

DECLARATION = '''\
"""{title}: what is asked and how it is answered. The write-up is in README.md."""

from common.competition import Competition, SubmissionFormat
from common.plain import {layout}
from common.recipe import Recipe

IMAGES = {images}

INTERVENTIONS = Recipe(
    backbone="resnet50",
    input_size=224,
    augment="randaugment",
    flips="horizontal",  # "both" where an image has no up, "none" where its mirror image means something else
    loss="{loss}",
    learning_rate=1e-4,
    weight_decay=1e-2,
    warmup_epochs=1,
    epochs=20,
    batch_size=32,
    tta="flip",
    decision="{decision}",
)

COMPETITION = Competition(
    name="{name}",
    title="{title}",
    task="{task}",  # other tasks need other values here and above: see README.md
    classes=IMAGES.classes,
    metric="{metric}",
    takes="practice",
    submission=SubmissionFormat("id", "label", "{kind}"),
    read_train=IMAGES.read_train,
    read_test=IMAGES.read_test,
    labelled_test={labelled_test},  # whether the labels of the test set are known
    recipes={{"interventions": INTERVENTIONS}},
)
'''

README = """\
# {title}

What is to be told from what, in which images, and where they come from.

## Data

{data}

Who took the images, of what, how many of each class; which of them are near copies of one another.

## Metric: {metric}

What the score rewards, and what it does not see.

| task | metric | in `SubmissionFormat` | `loss` | `decision` |
|---|---|---|---|---|
| `multiclass` | `accuracy`, `macro_f1` | `class` | `cross_entropy` | `argmax` |
| `binary` | `roc_auc` | `probability` | `bce` | `probability` |
| `ordinal` (grades, in order) | `quadratic_weighted_kappa` | `class` | `smooth_l1` | `thresholds` |
| `multilabel` (a `LabelTable` with `several=True`) | `macro_f1` | `labels` | `bce` | `prevalence` |

## What helped, and by how much

| what | {metric} | command |
|---|---|---|

## Commands

    make {name}-prepare{option}
    make {name}-train{option}
    make {name}-submit{option}    # practice: a fifth of the images, or the labelled test set, is scored
"""


def new_competition(words: list[str]) -> None:
    """`NAME [--data folder or .zip]`: writes `competitions/NAME/__init__.py` and `README.md`.

    Raises:
        UserError: the name cannot be one or is taken, or the data cannot be understood; nothing is written.
    """
    data, words = take(words, "--data")
    if len(words) != 1 or not words[0] or words[0].startswith("-"):
        raise UserError("new-competition takes a name: `make new-competition NAME=flowers [DATA=folder or .zip]`")
    name = words[0]
    check_name(name)
    folder = HERE / name
    write_folder(folder, texts(name, Path(data) if data else None))
    path = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"read over {path}/__init__.py; then `make {name}-train{option_of(name, data)}` and every other verb")


def write_folder(folder: Path, files: dict[str, str]) -> None:
    """All of it or, to whoever looks there and also after a kill, nothing."""
    made = in_the_making(folder)
    try:
        for file, text in files.items():
            write_text(made / file, text)
        sweep_up(folder.parent)
        check_name(folder.name)  # another process may have been quicker
        made.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_name(name: str) -> None:
    """Raises UserError where a competition cannot be called that."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"NAME: '{name}' is no name in lower case, digits and underscores that begins with a letter")
    if name in RESERVED or (HERE / f"{name}.py").exists():
        raise UserError(f"NAME: '{name}' means something else on the command line; choose another")
    if (HERE / name).exists():
        raise UserError(f"NAME: there is a folder competitions/{name} already, and nothing is overwritten")


def texts(name: str, data: Path | None) -> dict[str, str]:
    """File name → content. Without data the layout is a placeholder to fill in."""
    layout, labelled_test = PLACEHOLDER, False
    if data is not None:
        from competitions.guess import guess_layout

        raw = folder_of(data, name)
        layout = guess_layout(raw)
        labelled_test = "label" in layout.read_test(raw)
    several = isinstance(layout, LabelTable) and layout.several
    values = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "layout": type(layout).__name__,
        "images": as_code(layout),
        "labelled_test": labelled_test,
        "data": textwrap.fill(" ".join((type(layout).__doc__ or "").split("\n\n")[0].split()), WIDTH),
        "option": option_of(name, str(data or "")),
        "task": "multilabel" if several else "multiclass",
        "metric": "macro_f1" if several else "accuracy",
        "kind": "labels" if several else "class",
        "loss": "bce" if several else "cross_entropy",
        "decision": "prevalence" if several else "argmax",
    }
    return {"README.md": README.format(**values), "__init__.py": DECLARATION.format(**values)}


def folder_of(data: Path, name: str) -> Path:
    """The folder of the data; of a zip the one that it is unpacked to, or the only folder in that."""
    if data.is_file():
        folder = unpacked(data, DATA, name)
        inner = folders_in(folder)
        alone = len(inner) == 1 and inner[0].name != "train" and not list(folder.glob("*.csv"))
        return inner[0] if alone else folder
    if not data.is_dir():
        raise UserError(f"DATA: there is no folder {data}")
    return data


def option_of(name: str, data: str) -> str:
    return f" DATA={data}" if data and Path(data) != DATA / name else ""


def as_code(layout: ClassFolders | LabelTable) -> str:
    """The layout as ruff formats it: the classes, in several lines where there are many, and fields that differ from
    the defaults."""
    others = [
        f"{field.name}={quoted(value) if isinstance(value, str) else value}"
        for field in fields(layout)
        if field.name != "classes" and (value := getattr(layout, field.name)) != field.default
    ]
    classes, kind = [quoted(name) for name in layout.classes], type(layout).__name__
    line = f"{kind}({', '.join(['(' + ', '.join(classes) + ')', *others])})"
    if len("IMAGES = ") + len(line) <= WIDTH:
        return line
    lines = [f"    ({in_lines(classes)}),", *(f"    {other}," for other in others)]
    return "\n".join([f"{kind}(", *lines, ")  # fmt: skip"])


def in_lines(classes: list[str]) -> str:
    """Names, separated by commas, in as few lines as they fit in, and none of them broken."""
    glued = textwrap.wrap(
        ", ".join(name.replace(" ", "\0") for name in classes),
        WIDTH - 8,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n     ".join(glued).replace("\0", " ")


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
