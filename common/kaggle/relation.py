"""Whether local validation can be trusted: cross-validation scores beside the leaderboard's, of one leaderboard."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.files import write_atomically

FEWEST = 4
"""Submissions below which an interval of a correlation does not exist."""


@dataclass(frozen=True)
class Relation:
    """`offset` is the mean of leaderboard - cv, `spread` the standard deviation of the leaderboard's scores about the
    line fitted to cv. A correlation stands with its 95% interval: (r, low, high)."""

    n: int
    offset: float
    spread: float
    pearson: tuple[float, float, float]
    spearman: tuple[float, float, float]

    @property
    def verdict(self) -> str:
        """One sentence on whether the order of cross-validation scores is the leaderboard's."""
        _, low, high = self.spearman
        if low > 0.5:
            return "local validation can be trusted: what is better in it is better on the leaderboard"
        if low > 0:
            return "local validation points the right way, but small differences in it may not carry over"
        if high < 0:
            return "local validation misleads: what is better in it is worse on the leaderboard; look for a leak"
        return "whether local validation can be trusted cannot be told: the rank correlation may as well be 0"

    def to_dict(self) -> dict:
        return asdict(self) | {"verdict": self.verdict}


def relation(cv: Sequence[float], leaderboard: Sequence[float]) -> Relation | str:
    """The relation of scores (n,) of the same runs, or in words why there is none.

    Intervals: Pearson's by Fisher's z; Spearman's by Fisher's z with the standard error of Bonett and Wright (2000,
    "Sample size requirements for estimating Pearson, Kendall and Spearman correlations").
    """
    cv, leaderboard = np.asarray(cv, dtype=np.float64), np.asarray(leaderboard, dtype=np.float64)
    n = len(cv)
    if n < FEWEST:
        return f"{n} submitted {'run is' if n == 1 else 'runs are'} too few to tell, {FEWEST} are needed"
    if np.ptp(cv) == 0 or np.ptp(leaderboard) == 0:
        return "all scores are equal on one side, so there is no correlation"
    from scipy.stats import pearsonr, spearmanr  # half a second to import

    r, rho = float(pearsonr(cv, leaderboard)[0]), float(spearmanr(cv, leaderboard)[0])
    largest = 1 - 6 / (n * (n**2 - 1))  # half a step below 1: that four runs stand in one order may well be chance
    residuals = leaderboard - np.polyval(np.polyfit(cv, leaderboard, 1), cv)
    return Relation(
        n,
        float((leaderboard - cv).mean()),
        float(np.sqrt((residuals**2).sum() / (n - 2))),
        (r, *fisher_interval(r, 1 / np.sqrt(n - 3))),
        (rho, *fisher_interval(np.clip(rho, -largest, largest), np.sqrt((1 + rho**2 / 2) / (n - 3)))),
    )


def fisher_interval(r: float, error: float) -> tuple[float, float]:
    """95% interval of a correlation whose Fisher z, atanh r, has this standard error."""
    from scipy.stats import norm

    z, half = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), norm.ppf(0.975) * error
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def draw(path: Path, title: str, runs: Sequence[str], cv: Sequence[float], parts: dict[str, Sequence[float]]) -> None:
    """A scatter picture, PNG: `cv` (n,) against each of the leaderboard's `parts`, name → (n,), a point a run; on the
    dashed line both are equal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(parts), 5), layout="constrained")
    figure.suptitle(title)
    for axes, (name, scores) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts.items(), strict=True):
        everything = np.concatenate([cv, scores])
        margin = max(0.08 * np.ptp(everything), 1e-3)
        ends = [everything.min() - margin, everything.max() + margin]
        axes.plot(ends, ends, linestyle="--", color="0.6", linewidth=1, zorder=1)
        axes.scatter(cv, scores, color="#0072B2", zorder=2)
        for number, point in enumerate(np.argsort(scores)):
            x, y, run = cv[point], scores[point], runs[point]
            left, above = x > np.mean(ends), number % 2  # labels of neighbours in height keep out of each other's way
            axes.annotate(
                run,
                (x, y),
                xytext=(-5 if left else 5, 3 if above else -8),
                textcoords="offset points",
                fontsize=7,
                ha="right" if left else "left",
            )
        axes.set(xlim=ends, ylim=ends, xlabel="cross-validation", ylabel=f"{name} leaderboard", aspect="equal")
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))
