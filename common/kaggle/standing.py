"""Where a score stands among the teams of a leaderboard, and which medal that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from common.errors import UserError

Medal = Literal["gold", "silver", "bronze", ""]


@dataclass(frozen=True)
class Standing:
    """`rank` is 1 for the first; one more than `teams` for a score behind all of them."""

    rank: int
    teams: int

    @property
    def percentile(self) -> float:
        """The share of the teams that it is among, in (0, 100]: 5.0 is the top 5%."""
        return min(100.0, 100 * self.rank / self.teams)

    @property
    def medal(self) -> Medal:
        cuts = medal_ranks(self.teams)
        return next((medal for medal, last in cuts.items() if self.rank <= last), "")

    def __str__(self) -> str:
        medal = f", {self.medal}" if self.medal else ", no medal"
        return f"rank {self.rank:,} of {self.teams:,} teams (top {self.percentile:.1f}%){medal}"


def place(score: float, scores) -> Standing:
    """Where a new score would stand among the teams' `scores`, (teams,), of which higher is better and NaN is none.

    Of equal scores the earlier submission ranks first, so a new one stands behind all that equal it.

    Raises:
        UserError: there are no scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[~np.isnan(scores)]
    if len(scores) == 0:
        raise UserError("the leaderboard holds no scores; delete its file under submissions/ to fetch it again")
    return Standing(int((scores >= score).sum()) + 1, len(scores))


def medal_ranks(teams: int) -> dict[Medal, int]:
    """Medal → the last rank that gets it, shares rounded down: https://www.kaggle.com/progression/competitions."""
    if teams < 100:
        return {"gold": teams // 10, "silver": teams // 5, "bronze": teams * 2 // 5}
    if teams < 250:
        return {"gold": 10, "silver": teams // 5, "bronze": teams * 2 // 5}
    gold = 10 + teams // 500
    if teams < 1000:
        return {"gold": gold, "silver": 50, "bronze": 100}
    return {"gold": gold, "silver": teams // 20, "bronze": teams // 10}


def between_lines(score: float, lines: Mapping[str, float]) -> str:
    """`between silver 0.9197 and gold 0.9305`: where a score lies among a leaderboard's declared lines. To reach a line
    it takes more than the score there, as in `place`."""
    ordered = sorted(lines.items(), key=lambda line: line[1])
    below = [f"{name} {value:.4f}" for name, value in ordered if value < score]
    above = [f"{name} {value:.4f}" for name, value in ordered if value >= score]
    if not above:
        return f"above {below[-1]}"
    return f"between {below[-1]} and {above[0]}" if below else f"below {above[0]}"
