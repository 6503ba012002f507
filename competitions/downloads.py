"""The verb `download`: the competition's own data, or a data set that people train on beside it."""

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import terminal
from common.competition import Competition, DataSet
from common.errors import UserError, closest
from competitions.arguments import parse
from competitions.leaderboards import leaderboard_client, take_leaderboard
from competitions.sources import DATA, how_to_get, in_folder, sample_source


@dataclass(frozen=True)
class DownloadArguments:
    """The competition's own data, or with --set a data set beside it. Killed, the same command goes on."""

    set: str = ""
    """Name of a data set; 'list' shows what there is, with its licence and what it brings."""
    data: str = ""
    """Folder to unpack to; empty: data/<competition>, or data/<set>."""
    json: bool = False
    """Print the same as JSON: the sets, or the folder."""


def download(competition: Competition, words: list[str]) -> None:
    """Raises UserError: there is no such set, it is fetched by hand, or `common.kaggle.download` cannot get it."""
    board, words = take_leaderboard(words)
    asked = parse(DownloadArguments, words, f"python -m competitions {competition.name} download")
    with terminal.aside(asked.json):
        if asked.set == "list":
            print(listed(competition))
            answer = sets_of(competition)
        elif asked.set:
            answer = {"folder": download_set(competition, named(competition, asked.set), asked.data, board)}
        else:
            answer = {"folder": download_own(competition, asked.data, board or "kaggle")}
    if asked.json:
        terminal.print_json({"competition": competition.name, **answer})


def download_own(competition: Competition, data: str, board: str) -> Path:
    """The folder that it is in."""
    from common.kaggle.download import download as fetch

    if not competition.slug:
        raise UserError(f"{competition.name} has no Kaggle competition to download from: {how_to_get(competition)}")
    if board == "practice" and not competition.make_sample:
        raise UserError(f"{competition.name} has no sample data to download: {how_to_get(competition)}")
    default = DATA / (competition.name if board == "kaggle" else f"{competition.name}-practice")
    folder = Path(data) if data else default
    with leaderboard_client(board, sample_source(competition) if board == "practice" else None) as client:
        fetch(f"competitions/{competition.slug}", folder, client)
    print(f"{in_folder(competition, folder).prefix}{competition.name} is in {folder}")
    return folder


def download_set(competition: Competition, wanted: DataSet, data: str, board: str) -> Path:
    """Fetches it, and reads it once, so that a layout which the reader does not know is said now; the folder."""
    from common.kaggle.download import download as fetch

    folder = Path(data) if data else DATA / wanted.name
    if wanted.how:
        raise UserError(f"{wanted.name} is fetched by hand: {wanted.how} (from {wanted.page})")
    if board == "practice":
        raise UserError(f"{wanted.name} is on Kaggle alone: leave out --leaderboard practice")
    print(f"kaggle: {wanted.name} is {wanted.holds}; licence: {wanted.licence}; see {wanted.page}", flush=True)
    with leaderboard_client("kaggle") as client:
        fetch(wanted.source, folder, client)
    read = competition.read_external if wanted.use == "external" else competition.read_train
    print(f"{wanted.name} is in {folder}, {len(read(folder)):,} images with labels: {how_to_use(wanted, folder)}")
    return folder


def named(competition: Competition, name: str) -> DataSet:
    """Raises UserError where the competition declares no set of that name."""
    sets = {known.name: known for known in competition.downloads}
    if name not in sets:
        there = f"there are {', '.join(sets)}" if sets else f"{competition.name} declares none"
        raise UserError(f"set: there is no '{name}'{closest(name, sets)}; {there}")
    return sets[name]


def sets_of(competition: Competition) -> dict[str, Any]:
    """What `listed` says, as plain values; `page` of the competition is None where it is not Kaggle's."""
    sets = [asdict(known) | {"page": known.page} for known in competition.downloads]
    return {"page": competition.page if competition.slug else None, "sets": sets}


def listed(competition: Competition) -> str:
    """What `--set list` prints."""
    own = f"`make {competition.name}-download` once the rules are accepted at {competition.page}/rules"
    own = f"own data: {own if competition.slug else how_to_get(competition)}"
    return "\n\n".join([own, *map(_entry, competition.downloads)])


def _entry(known: DataSet) -> str:
    lines = [known.holds, f"licence: {known.licence}", f"page: {known.page}"]
    use = how_to_use(known, DATA / known.name)
    lines += [f"by hand: {known.how}"] if known.how else [f'get it with ARGS="--set {known.name}", then {use}']
    return "\n".join(
        [known.name, *(textwrap.fill(line, 110, initial_indent="  ", subsequent_indent="    ") for line in lines)]
    )


def how_to_use(known: DataSet, folder: Path) -> str:
    return f"train with --external {folder}" if known.use == "external" else f"DATA={folder} with every verb"
