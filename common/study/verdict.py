"""Standings in words: which gains on ImageNet transfer, which do not, and what cannot be said."""

from collections.abc import Sequence

import numpy as np

from common.errors import listing
from common.study import tables
from common.study.tables import IMAGENET
from common.study.transfer import Standing, name_in_the_paper


def verdict(backbone: str, top1: float, against: str, found: Sequence[Standing]) -> list[str]:
    """Plain sentences about a model; those on the paper's models are of comparable scores alone."""
    comparable = [standing for standing in found if not standing.unlike]
    alike = [standing for standing in comparable if not np.isnan(standing.half)]
    told = []
    if alike:
        told += against_reference(backbone, top1, name_in_the_paper(against), alike)
        told += against_trend(alike)
        told.append(
            "The paper's scores are the best of 60 runs of 30 epochs each: where fewer were tried, or shorter ones, a "
            "score that is lower may be so for that."
        )
    if blank := [title(one) for one in comparable if np.isnan(one.half)]:
        told.append(f"Without low and high of a score nothing can be said of {listing(blank)}.")
    told += [
        f"{title(one)}: not comparable with the paper ({one.unlike}). Its numbers stand beside the paper's only to be "
        "looked at, and say nothing of where the model is among them."
        for one in found
        if one.unlike and one.among
    ]
    return told + among_own(backbone, top1, found)


def against_reference(backbone: str, top1: float, reference: str, alike: Sequence[Standing]) -> list[str]:
    better = [title(one) for one in alike if one.gain > one.gain_half]
    worse = [title(one) for one in alike if one.gain < -one.gain_half]
    level = [title(one) for one in alike if abs(one.gain) <= one.gain_half]
    if np.isnan(top1):
        told = [f"The ImageNet top-1 of {backbone} is not known (--imagenet-top1); it is held against {reference}."]
        told += [f"Better on {listing(better)}."] if better else []
        return told + ([f"Not better on {listing([*level, *worse])}."] if level or worse else [])
    ahead = round(top1 - tables.scores().loc[reference, IMAGENET], 3)  # the paper's accuracies have so many digits
    points = f"{abs(100 * ahead):.1f} points {'above' if ahead > 0 else 'below'} " if ahead else "as has "
    told = [f"{backbone} has {top1:.1%} on ImageNet, {points}{reference}."]
    if ahead > 0:
        told += [f"The gain on ImageNet transfers to {listing(better)}."] if better else []
        if level or worse:
            down = f" (it is worse on {listing(worse)})" if worse else ""
            told.append(f"Gains on ImageNet that do not transfer to {listing([*level, *worse])}{down}.")
        return told
    told += [f"{'Yet it is better' if ahead else 'Better'} on {listing(better)}."] if better else []
    told += [f"No difference beyond the error on {listing(level)}."] if level else []
    return told + ([f"Worse on {listing(worse)}{', as on ImageNet' if ahead else ''}."] if worse else [])


def against_trend(alike: Sequence[Standing]) -> list[str]:
    over = [title(one) for one in alike if one.residual > one.residual_half]
    under = [title(one) for one in alike if one.residual < -one.residual_half]
    known = [one for one in alike if not np.isnan(one.residual)]
    told = [f"Above the paper's trend over ImageNet on {listing(over)}."] if over else []
    told += [f"Below the trend on {listing(under)}."] if under else []
    rest = len(known) - len(over) - len(under)
    return told + ([f"Where the trend expects it on {rest} of {len(known)} data sets."] if rest else [])


def among_own(backbone: str, top1: float, found: Sequence[Standing]) -> list[str]:
    """The model beside one's own runs of others, under the same protocol and on the same data."""
    told = []
    for one in found:
        if len(one.own) < 2:
            continue
        others = ", ".join(f"{name} {score:.4f} ({imagenet(of)})" for name, score, of in one.own if name != backbone)
        lesser = [score for name, score, of in one.own if name != backbone and of < top1]
        surpassed = sum(one.score - one.half > score for score in lesser)
        lead = ""
        if lesser and not np.isnan(one.half):
            lead = f" Worse on ImageNet: {len(lesser)} of them; surpassed beyond the error: {surpassed}"
            lead += "." if surpassed else ": a lead on ImageNet that does not show here."
        told.append(
            f"{title(one)}, own runs under the same protocol (ImageNet in brackets): {one.own_rank} of {len(one.own)} "
            f"with {one.score:.4f} ({imagenet(top1)}); {others}.{lead}"
        )
    return told or ["No own runs of other backbones under the same protocol to compare with."]


def imagenet(top1: float) -> str:
    return "?" if np.isnan(top1) else f"{100 * top1:.1f}"


def title(one: Standing) -> str:
    return tables.titles().get(one.data_set, one.data_set)
