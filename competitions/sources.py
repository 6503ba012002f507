"""Where a command's images and labels come from: the real download, sample data, or a held-out practice test set."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from common.competition import Competition
from common.data import Data, fingerprint, read_data
from common.errors import UserError
from common.files import read_json, write_atomically, write_json
from common.options import Options
from common.recipe import Recipe
from common.sample import MARK
from common.splits import grouped_folds
from competitions import load, names

DATA, PRACTICE = Path("data"), Path("data/practice")
ABOUT, HELD_OUT_MARK = "practice.json", "practice test set"
HOLD_OUT_PARTS, HOLD_OUT_SEED = 5, 2019


@dataclass(frozen=True)
class Source:
    """The training table, the test table and the folder that holds `sample_submission.csv`.

    `mark` says in every line about results that they come from sample data or a practice test set.
    """

    competition: Competition
    raw: Path
    mark: str = ""
    solution: Path | None = None

    @property
    def prefix(self) -> str:
        return f"{self.mark}: " if self.mark else ""

    @cached_property
    def train(self) -> pd.DataFrame:
        return self.competition.read_train(self.raw)

    @property
    def has_test(self) -> bool:
        return (self.raw / self.competition.sample_submission).is_file()

    def test(self) -> pd.DataFrame:
        return self.competition.read_test(self.raw)

    def data(self, recipe: Recipe) -> Data:
        """The training rows of a recipe.

        Raises:
            UserError: the tables or the external data cannot be read.
        """
        return read_data(self.competition, self.train, recipe)

    @cached_property
    def fingerprint(self) -> str:
        """Of the training table alone: runs that share it can be compared and blended."""
        return fingerprint(self.train.assign(source="train"))


@dataclass(frozen=True)
class HeldOut(Source):
    """A practice competition made of real data: a fifth of the training rows, groups whole, plays the test set."""

    parent: Source | None = None

    @cached_property
    def _held_out(self) -> pd.Series:
        table = self.parent.train
        groups = table["group"].to_numpy() if "group" in table else None
        folds = grouped_folds(table["label"].to_numpy(), groups, HOLD_OUT_PARTS, HOLD_OUT_SEED)
        return pd.Series(folds == 0, index=table.index)

    @cached_property
    def train(self) -> pd.DataFrame:
        return self.parent.train[~self._held_out].reset_index(drop=True)

    def test(self) -> pd.DataFrame:
        return self.parent.train.loc[self._held_out, ["id", "path"]].reset_index(drop=True)

    def data(self, recipe: Recipe) -> Data:
        return read_data(self.competition, self.train, recipe, held_out=self.parent.train[self._held_out])

    def write(self) -> None:
        """What the practice leaderboard needs: whose data these are, a sample submission and the solution."""
        write_json(self.raw / ABOUT, {"competition": self.competition.name, "slug": self.competition.slug})
        truth = self.parent.train.loc[self._held_out, ["id", "label"]]
        form = self.competition.submission
        sample = pd.DataFrame({form.id_column: truth["id"], form.target_column: 0})
        for path, table in ((self.raw / self.competition.sample_submission, sample), (self.solution, truth)):
            write_atomically(path, lambda temporary, table=table: table.to_csv(temporary, index=False))


def source(competition: Competition, options: Options) -> Source:
    """The raw folder that the options name.

    Raises:
        UserError: it is not there; the line says how to get it.
    """
    raw = Path(options.data) if options.data else DATA / competition.name
    if options.data == "sample" or raw.resolve() == sample_folder(competition).resolve():
        return sample_source(competition)
    if not raw.is_dir():
        raise UserError(f"no data of {competition.name} in {raw}: {how_to_get(competition)}")
    return Source(competition, raw, mark="sample data" if (raw / MARK).is_file() else "")


def sample_folder(competition: Competition) -> Path:
    return DATA / f"{competition.name}-sample"


def how_to_get(competition: Competition) -> str:
    if not competition.slug:
        return "point DATA at its folder, or take sample data with DATA=sample"
    return (
        f"accept the rules at {competition.page}/rules and run `make {competition.name}-download`, "
        "or point DATA at the folder of your download, or take sample data with DATA=sample"
    )


def sample_source(competition: Competition) -> Source:
    """Sample data, drawn where it is not there yet; its truth lies outside its folder."""
    raw = sample_folder(competition)
    solution = PRACTICE / f"{competition.name}-sample" / "solution.csv"
    truth = competition.make_sample(raw, 0)
    if not solution.is_file():
        write_atomically(solution, lambda temporary: truth.to_csv(temporary, index=False))
    return Source(competition, raw, mark="sample data", solution=solution)


def arena(raw: Source) -> Source:
    """The same data as a practice competition, whose test labels are known to the practice leaderboard alone."""
    if raw.solution is not None:
        return raw
    name = f"{raw.competition.name}-{raw.fingerprint}"
    folder = PRACTICE / name
    slug = f"{raw.competition.slug or raw.competition.name}-{raw.fingerprint[:8]}"
    held_out = HeldOut(replace(raw.competition, slug=slug), folder, HELD_OUT_MARK, folder / "solution.csv", parent=raw)
    held_out.write()
    return held_out


def practice_competition(raw: Source):
    """The practice leaderboard's side of a source with a solution."""
    from common.kaggle.practice.competition import PracticeCompetition
    from common.metrics import evaluate

    competition = raw.competition
    score = partial(evaluate, competition.metric, classes=len(competition.classes))
    title = f"{competition.title} ({raw.mark})"
    return PracticeCompetition(competition.slug or competition.name, title, competition, raw.raw, raw.solution, score)


def practice_competitions() -> list:
    """Every competition's sample data, and every practice test set that was ever held out here."""
    sources = [sample_source(load(name)) for name in names()]
    for about in sorted(PRACTICE.glob(f"*/{ABOUT}")):
        facts, folder = read_json(about), about.parent
        competition = replace(load(facts["competition"]), slug=facts["slug"])
        sources.append(Source(competition, folder, HELD_OUT_MARK, folder / "solution.csv"))
    return [practice_competition(raw) for raw in sources]
