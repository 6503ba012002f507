"""The command line of the zoo: `python -m common.models list | fetch | export | check`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from common import command
from common.errors import UserError
from common.terminal import aside, clipped, print_json

USAGE = """usage: python -m common.models <verb> …

verbs:
  list    the zoo: every backbone of the paper with its weights [--json]
  fetch   NAME … [--to weights]: fill a folder to carry to a machine without a network
  export  --run runs/<competition>/<id> [--to FOLDER]: a run's networks as safetensors and ONNX
  check   --images FOLDER --backbone NAME [--weights …]: ImageNet top-1 and top-5 on labelled images [--json]

`python -m common.models <verb> --help` lists every option."""


@dataclass(frozen=True)
class ListOptions:
    json: bool = False
    """Every field, as JSON."""


@dataclass(frozen=True)
class FetchOptions:
    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Backbones: names of the zoo, or of timm and torchvision."""
    to: Path = Path("weights")
    """Folder to fill."""


@dataclass(frozen=True)
class ExportOptions:
    run: Path
    """Folder of the run."""
    to: Path | None = None
    """Folder to write to; without it `export` in the run's."""


@dataclass(frozen=True)
class CheckOptions:
    images: Path
    """Folder of images named by class: n01440764_tench.JPEG, or folders named by wordnet id, class or index."""
    backbone: str
    """A timm or torchvision model name."""
    weights: str = "imagenet"
    """'imagenet', a .safetensors / .pth file, or a folder that `fetch` filled."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs."""
    workers: int = -1
    """Processes that read images; -1: one a core up to 16 beside a GPU, one beside a CPU."""
    json: bool = False
    """Print the same as JSON."""


def list_(options: ListOptions) -> None:
    from common.models.listing import as_json, as_table

    print(as_json() if options.json else clipped(as_table()))


def fetch(options: FetchOptions) -> None:
    from common.models.fetch import fetch

    if not options.names:
        raise UserError("fetch: name a backbone; `python -m common.models list` shows the zoo")
    fetch(options.names, options.to)


def export(options: ExportOptions) -> None:
    from common.models.export import export
    from common.run import Run

    run = Run(options.run)
    if not (run.folder / "run.json").is_file():
        raise UserError(f"run: {run.folder} is no run; give runs/<competition>/<id>")
    export(run, options.to or run.folder / "export")


def check(options: CheckOptions) -> None:
    from common.models.check import check, in_words
    from common.options import Options

    if options.weights == "none":
        raise UserError("weights: random ones have nothing to check; give 'imagenet', a file or a folder")
    work = Options(device=options.device, workers=options.workers)
    with aside(options.json):
        facts = check(options.images, options.backbone, options.weights, work)
    if options.json:
        print_json(facts)
    else:
        print(in_words(facts))


VERBS = {
    "list": (list_, ListOptions),
    "fetch": (fetch, FetchOptions),
    "export": (export, ExportOptions),
    "check": (check, CheckOptions),
}


def main(arguments: list[str]) -> None:
    if (verb := command.verb_of(arguments, VERBS, USAGE)) is None:
        return
    do, kind = VERBS[verb]
    do(command.parse(kind, arguments[1:], f"python -m common.models {verb}"))


if __name__ == "__main__":
    sys.exit(command.run(main, sys.argv[1:]))
