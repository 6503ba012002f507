"""What is asked: a competition, as one declaration of plain values and a few functions.

A competition is one folder under `competitions/` whose `__init__.py` defines `COMPETITION`. Its readers are imported
when they are called, so that listing the competitions costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from common.recipe import Recipe
    from common.tuning.space import Choice

Task = Literal["multiclass", "ordinal", "binary", "multilabel"]


@dataclass(frozen=True)
class SubmissionFormat:
    """The columns of `submission.csv` and what stands in the second: a class number, a probability in [0, 1], or
    "labels": class numbers separated by blanks, at least one."""

    id_column: str
    target_column: str
    kind: Literal["class", "probability", "labels"]


@dataclass(frozen=True)
class DataSet:
    """Data that `download --set NAME` brings to `data/NAME`, beside what the competition itself has.

    - `source`: the path of its page on Kaggle, `competitions/SLUG` or `datasets/OWNER/SLUG`; or, for what is fetched by
      hand, the address of a page elsewhere.
    - `how`: for what is fetched by hand, what to do with which files of that page.
    - `holds`: what is in it, and how large; `licence`: of the images, as far as it is known.
    - `use`: "external", `--external` takes the folder; "data", it stands in for the competition's own download.
    """

    name: str
    source: str
    holds: str
    licence: str
    use: Literal["external", "data"] = "external"
    how: str = ""

    @property
    def page(self) -> str:
        return self.source if self.how else f"https://www.kaggle.com/{self.source}"


@dataclass(frozen=True)
class Competition:
    """One competition or data set.

    The readers return pandas tables, one row an image, with a fresh 0..n-1 index:

    - `read_train(raw)` → `id` (str, unique), `path` (str, absolute), `label` (int, 0..len(classes)-1; in a multi-label
      task str: class numbers in ascending order, separated by blanks), `group` (str; rows of one group never lie on two
      sides of a split; absent where every image is its own group), and whatever other columns the competition wants to
      keep.
    - `read_test(raw)` → `id`, `path`, in the order of `sample_submission.csv`; no rows where this folder has no test
      images; None: the data set has none. Where `labelled_test` says that the raw folder itself has the labels of its
      test set (for want of a Kaggle competition): `id`, `path`, `label`.
    - `labelled_parts`: name → `read(raw)` → `id`, `path`, `label`, perhaps `group`: further images with labels, which
      `predict` scores and nothing else sees; no rows where this folder does not have the part.
    - `read_external(folder)` → as `read_train`; these rows are trained on and never validated on.
    - `paper_split(train)` → bool array (n,), True where the paper validates; int8 where it leaves rows out: 1
      validates, 0 trains, -2 does neither. None: there is no such split.
    - `make_sample(folder, seed)` draws sample data in the exact layout of the real download and returns the truth of
      its test set: `id`, `label`. None: there is no sample data.

    - `read_image(path, at_least, channels)` → the image of a row, uint8 (H, W, channels), whole and upright, at any
      scale whose short side is not below `at_least` (None: as it is); raises `common.images.BadImage`. A function of a
      module, for it is sent to other processes; None: `common.images.read_rgb`, which has three channels.

    - `image_files(path)` → the paths of all the files that the row of `path` is made of; None: that one.
    - `read_metadata(table)` → float32 (n, d) in about [-1, 1], known beside the images of a training or test table; d
      is the same for every table, and a value that is not known has a code of its own.
    - `read_auxiliary(train)` → int64 (n,): the position in `auxiliary_classes` of a second target, -1 where it is not
      known.
    - `search`: field of the recipe → what `tune` may try, where it is not what is common to all
      (`common.tuning.space`): values, or a `Range` of numbers.
    - `downloads`: what else the verb `download` can get; the first one of a data set without a Kaggle competition
      is the data set itself.

    All others raise `common.errors.UserError` for input that a user can mend.
    """

    name: str
    title: str
    task: Task
    classes: tuple[str, ...]
    metric: str
    takes: Literal["csv", "notebook", "practice"]
    submission: SubmissionFormat
    read_train: "Callable[[Path], pd.DataFrame]"
    recipes: "Mapping[str, Recipe]"
    read_test: "Callable[[Path], pd.DataFrame] | None" = None
    paper_split: "Callable[[pd.DataFrame], np.ndarray] | None" = None
    make_sample: "Callable[[Path, int], pd.DataFrame] | None" = None
    labelled_parts: "Mapping[str, Callable[[Path], pd.DataFrame]]" = field(default_factory=dict)
    slug: str = ""
    read_external: "Callable[[Path], pd.DataFrame] | None" = None
    read_image: "Callable[[str, int | None, int], np.ndarray] | None" = None
    image_files: "Callable[[str], list[Path]] | None" = None
    read_metadata: "Callable[[pd.DataFrame], np.ndarray] | None" = None
    read_auxiliary: "Callable[[pd.DataFrame], np.ndarray] | None" = None
    auxiliary_classes: tuple[str, ...] = ()
    downloads: tuple[DataSet, ...] = ()
    search: "Mapping[str, Choice]" = field(default_factory=dict)
    sample_submission: str = "sample_submission.csv"
    labelled_test: bool = False
    leaderboard_lines: Mapping[str, float] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """The competition's page on Kaggle, where its rules are accepted."""
        return f"https://www.kaggle.com/competitions/{self.slug}" if self.slug else ""
