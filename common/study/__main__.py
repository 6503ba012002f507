"""The command line of the study: `python -m common.study trend | f-test | …`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common import command
from common.errors import UserError

USAGE = """usage: python -m common.study <verb> …

Does progress on ImageNet transfer? From the paper's tables, its own value beside ours:
  trend         correlation and slope over ImageNet top-1 [--above 0.7] [--scale raw|logit]
  f-test        what ImageNet and the average over the other data sets tell beyond each other
  spearman      the same question by ranks
  average       models by the average of standardised logits
  parameters    scores against the number of parameters
  clip          other pre-training data
  augmentation  augmentation in fine-tuning and in pre-training
  aptos         what interventions bring
  fid           how far the data sets are from ImageNet
  tables        where every table stands in the paper
  leaderboard   backbones by the average, one's own among the paper's [--results FILE]
  figures       every figure as PNG, SVG, PDF and interactive HTML [--to figures]

Measured here:
  fid-measure   how far folders of images are from a reference  --reference FOLDER --images NAME=FOLDER …
  collect       the finished runs of the store as a CSV of results  [--runs runs] --to FILE
  transfer      a model among the paper's and among one's own  --results FILE --backbone NAME

From results of one's own (trend, f-test, spearman, average, parameters and figures take them too):
  control       a web-scraped data set beside the real-world ones  --results FILE
  metrics       one data set by two metrics  --results FILE

Every verb but collect and figures has --json. `python -m common.study <verb> --help` lists every option."""


@dataclass(frozen=True)
class Plain:
    json: bool = False
    """Every digit, as JSON."""


@dataclass(frozen=True)
class OfResults(Plain):
    results: Path | None = None
    """CSV of one's own results; without it the paper's."""


@dataclass(frozen=True)
class OfTrend(OfResults):
    above: float = 0.7
    """ImageNet top-1, a fraction, that the line begins above."""
    scale: Literal["raw", "logit"] = "raw"
    """Scores as they are, or their logits."""


@dataclass(frozen=True, kw_only=True)
class OfFid(Plain):
    reference: Path
    """Folder of reference images: ImageNet's validation set in the paper's sense."""
    images: tuple[str, ...]
    """name=folder of each data set; without a name its folder's."""
    weights: Path | None = None
    """File of the Inception network's weights; without it they are fetched once."""
    at_most: int = 10_000
    """Images of a folder that count, drawn at random where it has more; a distance depends on how many there are."""
    cache: Path = Path("cache")
    """Folder that features are kept in."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs."""


@dataclass(frozen=True)
class OfCollect:
    to: Path
    """CSV to write."""
    runs: Path = Path("runs")
    """Folder of the runs."""
    imagenet: Path | None = None
    """CSV with model and imagenet_top1 or, like timm's tables of results, top1: of backbones that are not in the
    tables of this project, or whose weights are others."""
    all: bool = False
    """Runs on sample data and on practice data too, marked in the column `mark`."""


@dataclass(frozen=True, kw_only=True)
class OfTransfer(Plain):
    results: Path
    """CSV that `collect` wrote."""
    backbone: str
    """The model that is placed."""
    against: str = "resnet50"
    """The model whose scores it should surpass: one of the paper's, by its name in the zoo."""


@dataclass(frozen=True)
class OfFigures:
    to: Path = Path("figures")
    """Folder to write to."""
    results: Path | None = None
    """CSV of one's own results; without it the paper's."""
    above: float = 0.7
    """ImageNet top-1, a fraction, that lines begin above."""


VERBS = {
    "trend": OfTrend,
    "f-test": OfResults,
    "spearman": OfResults,
    "average": OfResults,
    "parameters": OfResults,
    "clip": Plain,
    "augmentation": Plain,
    "aptos": Plain,
    "fid": Plain,
    "tables": Plain,
    "leaderboard": OfResults,
    "control": OfTrend,
    "metrics": OfTrend,
    "figures": OfFigures,
    "fid-measure": OfFid,
    "collect": OfCollect,
    "transfer": OfTransfer,
}


def main(arguments: list[str]) -> None:
    if (verb := command.verb_of(arguments, VERBS, USAGE)) is None:
        return
    options = command.parse(VERBS[verb], arguments[1:], f"python -m common.study {verb}")
    if verb == "figures":
        from common.study.figures import draw_all

        draw_all(options.to, options.results, _fraction(options.above))
        return
    if verb == "collect":
        from common.study.from_runs import write_collected

        write_collected(options.runs, options.to, options.imagenet, options.all)
        return
    report = answer(verb, options)
    print(report.as_json() if options.json else report.as_text())


def answer(verb: str, options):
    """The report of a verb. pandas is not imported before there is one to make."""
    from common.study import verbs

    if verb in ("control", "metrics") and options.results is None:
        raise UserError(f"{verb}: the paper shows this as a picture without numbers; give --results FILE")
    match verb:
        case "trend" | "control":
            return getattr(verbs, verb)(options.results, _fraction(options.above), options.scale)
        case "metrics":
            return verbs.metrics(options.results, _fraction(options.above))
        case "tables":
            return verbs.sources()
        case "fid-measure":
            from common.study.measured import fid_measure

            return fid_measure(options)
        case "transfer":
            from common.study.measured import transfer

            return transfer(options.results, options.backbone, options.against)
        case "clip" | "augmentation" | "aptos" | "fid":
            return getattr(verbs, verb)()
        case _:
            return getattr(verbs, verb.replace("-", "_"))(options.results)


def _fraction(above: float) -> float:
    if not 0 <= above < 1:
        raise UserError(f"above: {above:g} is no fraction; 70% is --above 0.7")
    return above


if __name__ == "__main__":
    sys.exit(command.run(main, sys.argv[1:]))
