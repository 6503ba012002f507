"""A study: what is asked of it, where it is kept, and that it is opened again only for the same question."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.competition import Competition
from common.errors import UserError
from common.files import content_hash
from common.recipe import Recipe
from common.run import identity
from common.tuning.locks import DatabaseLocks, FileLocks, Locks
from common.tuning.space import Point, Range, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage

Sampler = Literal["tpe", "grid"]
Pruner = Literal["hyperband", "asha", "none"]
REDUCTION = 3
"""Of so many trials that reach a rung, one goes on to the next, which has so many times the epochs."""


@dataclass(frozen=True)
class Question:
    """What a study searches. `recipe` is the default, which trial 0 trains; `source` identifies the data."""

    competition: Competition
    recipe: Recipe
    space: Space
    source: str
    sampler: Sampler = "tpe"
    pruner: Pruner = "hyperband"
    seeds: int = 1

    def __post_init__(self) -> None:
        """Raises UserError: nothing could be compared, or nothing is searched."""
        if self.seeds < 1:
            raise UserError(f"seeds: must be 1 or more (got {self.seeds})")
        if self.recipe.split == "all":
            raise UserError("split 'all' holds nothing out, so nothing can be compared; use --split folds")
        self.checked(self.recipe)

    def recipe_at(self, point: Point) -> Recipe:
        """The recipe with the values of a point; six digits of each count, so that what is written down is the value.

        Raises:
            UserError: they do not go together, or not with the competition.
        """
        rounded = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in point.items()}
        return self.checked(self.recipe.with_fields(**rounded))

    def checked(self, recipe: Recipe) -> Recipe:
        from common.train.train import check

        check(self.competition, recipe)
        return recipe

    def seeded(self, recipe: Recipe) -> list[Recipe]:
        """The recipes whose scores are averaged to its own."""
        return [recipe.with_fields(seed=recipe.seed + i) for i in range(self.seeds)]

    def described(self) -> dict[str, Any]:
        """As plain values; a study is opened again for the same ones. Paths are not among them: files count by their
        content, for they may lie elsewhere on another machine."""
        space = {name: vars(choice) if isinstance(choice, Range) else choice for name, choice in self.space.items()}
        described = {
            "competition": self.competition.name,
            "data": self.source,
            "recipe": self.recipe.identity(),
            "weights": identity(self.competition.name, self.recipe, self.source),
            "space": space,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seeds": self.seeds,
        }
        return json.loads(json.dumps(described))

    @property
    def name(self) -> str:
        """The same question has the same name."""
        return f"{'-'.join(self.space)}-{content_hash(self.described(), 8)}"


def pruner_of(question: Question) -> "BasePruner":
    """On the epochs of a trial's first fold and seed: rungs at a ninth of the epochs, a third, all."""
    from optuna.pruners import HyperbandPruner, NopPruner, SuccessiveHalvingPruner

    first_rung = max(question.recipe.epochs // REDUCTION**2, 1)
    if question.pruner == "hyperband":
        return HyperbandPruner(first_rung, max(question.recipe.epochs, first_rung + 1), REDUCTION)
    return SuccessiveHalvingPruner(first_rung, REDUCTION) if question.pruner == "asha" else NopPruner()


@contextmanager
def reachable() -> Iterator[None]:
    """Trouble with the database is one line."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (OperationalError, StorageInternalError) as error:
        reason = getattr(error, "orig", None) or error.__cause__ or error
        said = str(reason).strip().splitlines()[0]
        raise UserError(f"storage: {said}; what was done is kept, and the same command continues") from None


@contextmanager
def opened(question: Question, name: str, folder: Path, url: str) -> "Iterator[tuple[Study, Locks]]":
    """The study `name` of a competition and this process's locks on it: in the database at `url`, or, where that is
    empty, in a journal file beside `folder`.

    Raises:
        UserError: the database cannot be reached, or the study of this name searches something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the search says what happens in its own words
    whole_name = f"{question.competition.name}/{name}"
    locks: Locks = DatabaseLocks(url, whole_name) if url else FileLocks(folder / "workers")
    try:
        with locks.choosing():
            study = optuna.create_study(
                study_name=whole_name,
                storage=storage_at(url or str(journal_of(folder))),
                direction="maximize",
                pruner=pruner_of(question),
                load_if_exists=True,
            )
            asked = question.described()
            kept = study.user_attrs.get("question")
            if kept is None:
                study.set_user_attr("question", asked)
            elif kept != asked:
                other = next(what for what in asked if kept.get(what) != asked[what])
                raise UserError(f"study '{name}' differs in {other} from what is asked; choose another --study")
        yield study, locks
    finally:
        locks.close()


def journal_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".journal")


def storage_at(where: str) -> "BaseStorage":
    """Optuna's storage: a PostgreSQL database by its address, or a journal file by its path."""
    if "://" in where:
        from optuna.storages import RDBStorage

        # Two processes that make the tables at once would each find those of the other.
        with closing(DatabaseLocks(where, "tables")) as locks, locks.choosing():
            return RDBStorage(where)
    from common.tuning.journal import journal_at

    return journal_at(Path(where))


def database_address(url: str) -> str:
    """`postgresql://…` with the driver that is installed.

    Raises:
        UserError: another kind of address.
    """
    kind, _, rest = url.partition("://")
    if kind not in ("postgresql", "postgres", "postgresql+psycopg2") or not rest:
        raise UserError(
            "storage: wants postgresql://user@host/database; without it a journal file is kept with the runs"
        )
    return f"postgresql+psycopg2://{rest}"
