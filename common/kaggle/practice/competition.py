"""What the practice leaderboard holds of a competition, and how it scores a submission."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from common.competition import Competition
from common.errors import UserError, listing
from common.labels import indicator, label_array
from common.submission import validate

PUBLIC_SHARE = 0.3


@dataclass(frozen=True)
class PracticeCompetition:
    """The raw folder may be downloaded; `solution` (CSV: id, label), wherever it lies, may not.

    `score(labels, values)` is the competition's own metric: int labels (n,) and the submitted classes or probabilities
    (n,), or both as indicator rows (n, K), to a float, higher is better; it raises UserError where it is undefined.

    `hidden` is the raw folder that a submitted notebook is run on again, with the whole test set, where `raw` has but
    a part of it. The solution then has the ids of its sample submission.
    """

    slug: str
    title: str
    competition: Competition
    raw: Path
    solution: Path
    score: Callable[[np.ndarray, np.ndarray], float]
    hidden: Path | None = None

    @property
    def sample_submission(self) -> Path:
        return (self.hidden or self.raw) / self.competition.sample_submission

    def scores(self, csv: Path) -> tuple[float, float]:
        """Public and private score of a submission.

        Raises:
            UserError: the submission is not what the sample submission asks for; see `common.submission.validate`.
        """
        form = self.competition.submission
        submitted = validate(csv, self.competition, self.sample_submission).set_index(form.id_column)[
            form.target_column
        ]
        task, classes = self.competition.task, len(self.competition.classes)
        labels, public = label_array(self.truth["label"], task, classes), self.truth["public"].to_numpy()
        values = submitted.loc[self.truth.index]
        values = indicator(values, classes) if form.kind == "labels" else values.to_numpy()
        return tuple(float(self.score(labels[part], values[part])) for part in (public, ~public))

    @cached_property
    def truth(self) -> pd.DataFrame:
        """Indexed by id: `label` (int, or text where a row may have several) and `public` (bool), True for the rows
        that the public score counts."""
        try:
            kind = str if self.competition.task == "multilabel" else int
            table = pd.read_csv(self.solution, dtype={"id": str, "label": kind}, keep_default_na=False)
            truth = table.set_index("id")[["label"]]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"cannot read the solution {self.solution} (columns id, label): {error}") from error
        sample = pd.read_csv(self.sample_submission, dtype=str, keep_default_na=False)
        if differing := sorted(set(truth.index) ^ set(sample[self.competition.submission.id_column])):
            raise UserError(f"{self.solution} and {self.sample_submission} differ in the ids {listing(differing)}")
        return truth.assign(public=public_part(truth.index))


def public_part(ids: pd.Index) -> np.ndarray:
    """True for the 30% of the ids with the smallest hash: the same rows on every machine, in whatever order."""
    ranks = pd.Series([hashlib.sha256(id.encode()).hexdigest() for id in ids]).rank(method="first")
    return (ranks <= max(1, round(PUBLIC_SHARE * len(ids)))).to_numpy()
