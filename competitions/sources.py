"""Where a command's images and labels come from: the real download, sample data, or a held-out practice test set."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from common.archive import folders_in, unpacked
from common.competition import Competition
from common.copies import same_content
from common.data import Data, balanced_folds, fingerprint, image_files
from common.errors import UserError
from common.files import read_json, write_atomically, write_json, write_text
from common.options import Options
from common.recipe import Recipe
from common.sample import MARK
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
    hidden: Path | None = None
    """The download as a notebook finds it when the practice leaderboard runs it again: with the test images that the
    solution knows, and nobody has seen."""

    @property
    def prefix(self) -> str:
        return f"{self.mark}: " if self.mark else ""

    @cached_property
    def train(self) -> pd.DataFrame:
        return self.competition.read_train(self.raw)

    @property
    def has_test(self) -> bool:
        competition = self.competition
        if competition.labelled_test or (self.raw / competition.sample_submission).is_file():
            return competition.read_test is not None
        return not competition.slug and not self._read_test().empty

    def test(self) -> pd.DataFrame:
        """The test images without labels. Raises UserError: there are none, or the reader's."""
        table = self._read_test()
        if table.empty:
            raise UserError(
                f"{self.competition.name} has no test set to predict in {self.raw}: compare runs by their folds, or "
                "submit to the practice leaderboard, which holds a fifth of the images out"
            )
        return table.drop(columns="label", errors="ignore")

    def _read_test(self) -> pd.DataFrame:
        read = self.competition.read_test
        return pd.DataFrame() if read is None else read(self.raw)

    def data(self, recipe: Recipe, options: Options) -> Data:
        """The training rows of a recipe.

        Raises:
            UserError: the tables or the external data cannot be read, or a run that the recipe names does not fit.
        """
        from common.rows import training_data

        test = self.test() if (recipe.external or recipe.pseudo) and self.has_test else None
        return replace(training_data(self.competition, self.train, recipe, options, test), mark=self.mark)

    @cached_property
    def fingerprint(self) -> str:
        """Of the training table alone: runs that share it can be compared and blended."""
        return fingerprint(self.competition, self.train.assign(source="train"))


@dataclass(frozen=True)
class Arena(Source):
    """A practice competition made of `parent`: its test rows are the parent's where those have labels, else a fifth of
    the training rows, groups whole."""

    parent: Source | None = None

    @cached_property
    def _parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The training rows, and the test rows with their labels."""
        table = self.parent.train
        if self.competition.labelled_test:
            return table, self._labelled_test()
        held_out = balanced_folds(self.competition, table, HOLD_OUT_PARTS, HOLD_OUT_SEED) == 0
        content = same_content(image_files(self.competition, table))
        known = np.isin(content, content[held_out])  # copies of what is held out are not trained on either
        return table[~known].reset_index(drop=True), table[held_out].reset_index(drop=True)

    def _labelled_test(self) -> pd.DataFrame:
        test = self.competition.read_test(self.parent.raw)
        if "label" not in test:
            raise UserError(
                f"the test images in {self.parent.raw} have no labels: declare {self.competition.name} with "
                "labelled_test=False, and a fifth of the training images is held out in their place"
            )
        return test

    @cached_property
    def train(self) -> pd.DataFrame:
        return self._parts[0]

    @property
    def has_test(self) -> bool:
        return True

    def test(self) -> pd.DataFrame:
        return self._parts[1].drop(columns="label")

    def write(self) -> None:
        """What the practice leaderboard needs: whose data these are, a sample submission and the solution."""
        about = {"competition": self.competition.name, "slug": self.competition.slug, "mark": self.mark}
        write_json(self.raw / ABOUT, about)
        truth = self._parts[1][["id", "label"]]
        form = self.competition.submission
        sample = pd.DataFrame({form.id_column: truth["id"], form.target_column: 0})
        for path, table in ((self.raw / self.competition.sample_submission, sample), (self.solution, truth)):
            write_atomically(path, lambda temporary, table=table: table.to_csv(temporary, index=False))


def source(competition: Competition, options: Options) -> Source:
    """The raw folder that the options name; of a zip archive the folder that it is unpacked to.

    Raises:
        UserError: it is not there; the line says how to get it. An archive is broken or unsafe.
    """
    raw = Path(options.data) if options.data else DATA / competition.name
    sample = sample_folder(competition)
    if options.data == "sample" or (raw.resolve() == sample.resolve() and competition.make_sample):
        return sample_source(competition)
    if raw.is_file():
        return from_archive(competition, unpacked(raw, DATA, competition.name))
    if not raw.is_dir() or not any(raw.iterdir()):  # a download that was refused leaves an empty folder
        raise UserError(f"no data of {competition.name} in {raw}: {how_to_get(competition)}")
    return in_folder(competition, raw)


def in_folder(competition: Competition, raw: Path) -> Source:
    return Source(competition, raw, mark="sample data" if (raw / MARK).is_file() else "")


def from_archive(competition: Competition, folder: Path) -> Source:
    """What was unpacked to `folder`, or the one folder in it, where the data begin there."""
    raw = in_folder(competition, folder)
    if len(inner := folders_in(folder)) != 1:
        return raw
    try:
        raw.train  # noqa: B018 (kept: reading it again costs nothing)
        return raw
    except UserError as error:
        if str(inner[0]) in str(error):  # the layout is right, and something in it is wrong
            raise
    return in_folder(competition, inner[0])


def sample_folder(competition: Competition) -> Path:
    return DATA / f"{competition.name}-sample"


def how_to_get(competition: Competition) -> str:
    sample = ", or take sample data with DATA=sample" if competition.make_sample else ""
    if not competition.slug and competition.downloads:
        own = competition.downloads[0]
        return f"{own.how} (from {own.page}){sample}"
    if not competition.slug:
        return f"point DATA at its folder or .zip{sample}"
    return (
        f"accept the rules at {competition.page}/rules and run `make {competition.name}-download`, "
        f"or point DATA at the folder or .zip of your download{sample}"
    )


def sample_source(competition: Competition) -> Source:
    """Sample data, drawn where it is not there yet; the truth of its test set, if it has one that is not labelled in
    the raw layout, lies outside its folder. Where notebooks answer, that is of a second test set for them alone, which
    the practice leaderboard draws when it starts. Raises UserError where the competition has no sample data."""
    if competition.make_sample is None:
        raise UserError(f"{competition.name} has no sample data: {how_to_get(competition)}")
    raw, secret = sample_folder(competition), PRACTICE / f"{competition.name}-sample"
    truth = competition.make_sample(raw, 0)
    if competition.labelled_test or truth.empty:
        return Source(competition, raw, mark="sample data")
    made = Source(competition, raw, mark="sample data", solution=secret / "solution.csv")
    if competition.takes == "notebook":
        return replace(made, hidden=secret / "hidden")
    write_truth(made.solution, truth)
    return made


def write_truth(solution: Path, truth: pd.DataFrame) -> None:
    wanted = truth.to_csv(index=False)
    if not solution.is_file() or solution.read_text() != wanted:
        write_text(solution, wanted)


def arena(raw: Source) -> Source:
    """The same data as a practice competition, whose test labels are known to the practice leaderboard alone."""
    if raw.solution is not None:
        return raw
    name = f"{raw.competition.name}-{raw.fingerprint}"
    folder = PRACTICE / name
    slug = f"{raw.competition.slug or raw.competition.name}-{raw.fingerprint[:8]}"
    takes = "csv" if raw.competition.takes == "notebook" else raw.competition.takes  # its images lie in the raw folder
    mark = raw.mark or ("" if raw.competition.labelled_test else HELD_OUT_MARK)
    made = Arena(replace(raw.competition, slug=slug, takes=takes), folder, mark, folder / "solution.csv", parent=raw)
    made.write()
    return made


def practice_competition(raw: Source):
    """The practice leaderboard's side of a source with a solution. Draws the sample data's hidden test set."""
    from common.kaggle.practice.competition import PracticeCompetition
    from common.metrics import evaluate

    competition = raw.competition
    if raw.hidden:
        write_truth(raw.solution, competition.make_sample(raw.hidden, 1))
    score = partial(evaluate, competition.metric, classes=len(competition.classes))
    title = f"{competition.title} ({raw.mark})" if raw.mark else competition.title
    slug = competition.slug or competition.name
    return PracticeCompetition(slug, title, competition, raw.raw, raw.solution, score, raw.hidden)


def practice_competitions() -> list:
    """Every competition's sample data, and every practice test set that was made here for one of them."""
    sources = [arena(sample_source(competition)) for competition in map(load, names()) if competition.make_sample]
    here = {raw.competition.slug for raw in sources}
    for about in sorted(PRACTICE.glob(f"*/{ABOUT}")):
        facts, folder = read_json(about), about.parent
        if facts["competition"] in names() and facts["slug"] not in here:
            competition = replace(load(facts["competition"]), slug=facts["slug"], takes="csv")
            sources.append(Source(competition, folder, facts.get("mark", HELD_OUT_MARK), folder / "solution.csv"))
    return [practice_competition(raw) for raw in sources]
