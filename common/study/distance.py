"""How far are the data sets from ImageNet, and does that go with transfer? Fréchet inception distance (Appendix M)."""

import pandas as pd
from scipy.stats import mannwhitneyu, spearmanr

from common.study import tables
from common.study.trend import trend


def distances() -> pd.DataFrame:
    """The paper's 18 data sets by distance: index data set, columns `title`, `origin`, `fid_to_imagenet`."""
    return tables.read("fid").sort_values("fid_to_imagenet", ascending=False)


def real_world_is_further() -> tuple[float, float, float]:
    """Median distance of the real-world and of the web-scraped data sets, and the p-value of Mann and Whitney's U-test
    (two-sided) that one kind is no further than the other."""
    of = distances().groupby("origin")["fid_to_imagenet"]
    real, web = of.get_group("real world"), of.get_group("web")
    return real.median(), web.median(), mannwhitneyu(real, web).pvalue


def distance_and_trend() -> pd.DataFrame:
    """Distance beside correlation and slope of the six real-world data sets, the nearest first."""
    lines = trend(tables.scores())
    return lines.join(distances()["fid_to_imagenet"]).sort_values("fid_to_imagenet")


def rank_correlation_with_distance() -> dict[str, tuple[float, float]]:
    """Spearman's rho and p-value of distance with correlation and with slope, over the six."""
    table = distance_and_trend()
    tests = {name: spearmanr(table["fid_to_imagenet"], table[name]) for name in ("correlation", "slope")}
    return {name: (test.statistic, test.pvalue) for name, test in tests.items()}
