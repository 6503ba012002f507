"""What the verbs that measure show: how far images are from a reference, and where a model stands."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.study import tables
from common.study.report import Report

ENOUGH = 2048


def fid_measure(options) -> Report:
    """The report of `fid-measure`; `options` as `common.study.__main__.OfFid` has them."""
    from common.study.fid import fid

    if options.at_most < 4:
        raise UserError(f"at_most: {options.at_most} images make no distance; 10,000 are a usual number")
    folders = named_folders(options.images)
    rows = fid(options.reference, folders, options.weights, options.at_most, options.cache, options.device)
    rows["paper"] = rows["dataset"].map(tables.read("fid")["fid_to_imagenet"])
    if rows["paper"].isna().all():
        rows = rows.drop(columns="paper")
    notes = [
        "low, high: 95% interval for chance in the choice of the images, from random halves of both sets.",
        "Few images make the distance too large. of_halves: with half of the images; without_bias: what is left where "
        "a bias of c/n is taken off. Compare distances of equal numbers of images, or these.",
    ]
    if few := [f"{row.dataset} ({row.images:,})" for row in rows.itertuples() if row.images < 2 * ENOUGH]:
        notes.append(
            f"Halves with fewer images than the {ENOUGH:,} features have another bias than c/n, and without_bias is no "
            f"more than a hint: {', '.join(few)}."
        )
    if "paper" in rows:
        notes.append("paper: its Table 11, which tells neither the number of images nor how they were read.")
    formats = dict.fromkeys(rows.columns[2:], ".1f")
    return Report(f"Fréchet inception distance to {options.reference}", rows, notes, formats)


def named_folders(words: Sequence[str]) -> dict[str, Path]:
    """`cct20=path/to/images …` → name → folder; a folder without a name has its own."""
    folders = {}
    for word in words:
        name, sign, folder = word.partition("=")
        name, folder = (name, Path(folder)) if sign else (Path(word).name, Path(word))
        if not name or name in folders or name == "reference":
            raise UserError(f"images: '{word}' has no name of its own; write name=folder")
        folders[name] = folder
    return folders


def transfer(results: Path, backbone: str, against: str) -> Report:
    """Where a model of `collect`'s table stands, with the verdict in words."""
    from common.study.results import read_rows_of_runs
    from common.study.tables import IMAGENET
    from common.study.transfer import standings
    from common.study.verdict import verdict

    rows = read_rows_of_runs(results)
    top1 = rows.loc[rows["backbone"] == backbone, IMAGENET].max()
    found = standings(rows, backbone, top1, against)
    table = pd.DataFrame(
        {
            "dataset": one.data_set,
            "seeds": one.seeds,
            "score": one.score,
            "±": one.half,
            "rank": f"{one.rank} of {one.among}{'*' * bool(one.unlike)}" if one.among else "",
            "expected": one.expected,
            "residual": one.residual,
            "± ": one.residual_half,
            "gain": one.gain,
            "±  ": one.gain_half,
        }
        for one in found
    )
    notes = [
        "rank: among the paper's models. expected: by their trend over ImageNet top-1. gain: over the paper's "
        f"{against}. ±: half a 95% interval, of images and seeds and, for the residual, of one more model beside the "
        "line.",
        *average_in_words(rows, backbone, starred=any(one.unlike for one in found if one.among)),
        *verdict(backbone, top1, against, found),
    ]
    measured = {one.data_set for one in found}
    if missing := [name for name in tables.read("datasets").index if name not in measured]:
        notes.append(f"No result on {', '.join(missing)}: `make transfer` says where the data come from.")
    formats = {"residual": "+.3f", "gain": "+.3f"} | dict.fromkeys(["±", "± ", "±  "], ".3f")
    return Report(f"{backbone} among the paper's models", table, notes, formats)


def average_in_words(rows: pd.DataFrame, backbone: str, starred: bool) -> list[str]:
    """The benchmark that the paper recommends: the average over its data sets, as the leaderboard has it."""
    from common.study.leaderboard import leaderboard

    try:
        board, _ = leaderboard(rows[rows["backbone"] == backbone])
    except UserError as error:
        return [f"No average: {error}."]
    own = board[board["whose"] == "own"].iloc[0]
    names = ", ".join(name for name in tables.read("datasets").index if name in board)
    place = 1 + int((board["average"] > own["average"]).sum())
    star = "* (see below: not all are comparable)" if starred else ""
    ends = "interval not known" if pd.isna(own["low"]) else f"95% interval {own['low']:+.2f} to {own['high']:+.2f}"
    return [
        f"Average of standardised logits over {names}: {own['average']:+.2f} ({ends}), {place} of {len(board)}{star}; "
        "0 is the mean of the paper's models."
    ]
