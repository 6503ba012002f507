"""What the verbs that measure show: how far images are from a reference, and where a model stands."""

from collections.abc import Sequence
from pathlib import Path

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
