"""What each verb of `python -m common.study` shows: the statistics, put into tables with titles and notes."""

from pathlib import Path

import pandas as pd

from common.study import tables
from common.study.comparison import AS_PRINTED, DRAWS, ROUNDING, UNKNOWN, Statistic, beside, compare
from common.study.report import Report
from common.study.results import read_scores
from common.study.scales import Scale
from common.study.tables import IMAGENET, real_world

REASONS = (
    f"reason: {AS_PRINTED}, the same digits; {ROUNDING}, a table that rounds to the printed scores gives the paper's "
    f"value; {UNKNOWN}, none of {DRAWS} such tables does."
)
TWO_COLUMNS = (
    "ImageNet's rank correlations come out to four digits on CCT-20, APTOS, HPA and EuroSAT, not on melanoma and "
    "cassava: these two columns are printed otherwise than the paper's statistics had them, and they enter the average "
    "of every other data set. Which cells differ is unknown; no change of one cell in each gives the paper's values."
)
DIFFERENCES = {"ours": ".3f", "difference": "+.3f"}


def scores_of(results: Path | None) -> pd.DataFrame:
    """One's own table of scores, or the paper's."""
    return read_scores(results) if results else tables.scores()


def sources() -> Report:
    return Report("The paper's tables in common/study/tables", tables.read("sources").reset_index())


def trend(results: Path | None, above: float, scale: Scale) -> Report:
    from common.study.trend import ABOVE, trend, trend_intervals

    table = scores_of(results)
    ours = trend(table, above, scale)
    as_in_paper = results is None and above == ABOVE and scale == "raw"
    rows = compare(trend, "trend") if as_in_paper else beside(ours, "trend")
    ends = [_long(end) for end in trend_intervals(table, above, scale)]
    keys = pd.MultiIndex.from_frame(rows[["dataset", "quantity"]])
    rows.insert(3, "low", ends[0].reindex(keys).to_numpy())
    rows.insert(4, "high", ends[1].reindex(keys).to_numpy())
    notes = ["low, high: 95% bootstrap interval over the models."]
    if as_in_paper:
        notes += [REASONS, TWO_COLUMNS]
    elif results is None:
        notes += ["paper: its Table 2, above 70% and on the raw scale."]
    models = (table[IMAGENET] > above).sum()
    title = f"Score over ImageNet top-1, {models} models above {above:.0%}, {scale} scale"
    return Report(title, rows, notes, DIFFERENCES | {"paper": ".2f"})


def f_test(results: Path | None) -> Report:
    from common.study.f_test import f_test

    rows, notes = _statistic(f_test, "f_test", results)
    title = "Does the average over the other data sets tell more than ImageNet top-1? Nested-model F-tests"
    return Report(title, rows, notes, {"ours": ".3g", "paper": "g", "difference": "+.2g"})


def spearman(results: Path | None) -> Report:
    from common.study.spearman import spearman

    rows, notes = _statistic(spearman, "spearman", results)
    title = "Rank correlation with the average over the other data sets, and with ImageNet top-1"
    return Report(title, rows, notes, {"ours": ".4f", "paper": ".4f", "difference": "+.4f"})


def average(results: Path | None) -> Report:
    from common.study.averages import average, complete, standardised_logits

    whole = complete(scores_of(results), models=2, data_sets=1)
    rows = standardised_logits(whole).assign(average=average(whole)).sort_values("average", ascending=False)
    rows.insert(0, "imagenet_rank", whole[IMAGENET].rank(ascending=False, method="min").astype(int))
    rows = rows.rename_axis("model").reset_index()
    rows.insert(0, "rank", range(1, len(rows) + 1))
    title = f"Average of standardised logits over {len(real_world(whole))} data sets"
    signed = dict.fromkeys([*real_world(whole), "average"], "+.2f")
    return Report(title, rows, ["0: the mean of these models; 1: a deviation better."], signed)


def parameters(results: Path | None) -> Report:
    from common.study.parameters import by_parameters, counted, printed

    table = scores_of(results)
    if results:
        rows, notes = by_parameters(table.drop(columns="parameters"), table["parameters"]), []
    else:
        rows = by_parameters(table, counted())
        rows["as_printed"] = by_parameters(table, printed())["parameters"]
        notes = ["as_printed: with the numbers in the paper's Table 4, where ViT-B/16 has 304M and not 86.6M."]
    notes.insert(
        0, "parameters: correlation of the score with their logarithm, low and high its 95% bootstrap interval;"
    )
    notes[0] += (
        " imagenet: correlation with ImageNet top-1 over the same models. The paper shows a picture (Appendix L)."
    )
    title = "Is it the number of parameters?"
    return Report(title, rows.rename_axis("dataset").reset_index(), notes, dict.fromkeys(rows.columns[1:], "+.2f"))


def clip() -> Report:
    from common.study.clip import SAME_ARCHITECTURE, above_best, gains, residuals

    same = gains()
    parts = {
        "same architecture": same.set_axis([f"{name} - {SAME_ARCHITECTURE[name]}" for name in same.index]),
        "less the best of 19": above_best(),
        "less the line": residuals(),
    }
    rows = pd.concat({what: 100 * part for what, part in parts.items()}, names=["difference", "model"]).reset_index()
    notes = [
        "Points of 100. The line is that of the ImageNet models above 70%.",
        "The paper: CLIP's data help CCT-20, HPA and Cassava at the same architecture; CLIP-L14@336 beats all 19 "
        "models everywhere, CLIP-L14 on four of six data sets (Section 5.2).",
    ]
    return Report("CLIP beside the ImageNet models", rows, notes, dict.fromkeys(rows.columns[2:], "+.2f"))


def augmentation() -> Report:
    from common.study.augmentation import FINE_TUNING, fine_tuning_gains, pretraining_gains

    tuned = fine_tuning_gains().drop(columns="imagenet_top1")
    pretrained = pretraining_gains().reset_index()
    pretrained.insert(0, "model", "gain of pre-training")
    rows = pd.concat([tuned.assign(base=float("nan")), pretrained.drop(columns="imagenet_top1")])
    rows[["base", *FINE_TUNING]] *= 100
    notes = [
        "Points of 100. Upper rows: what an augmentation in fine-tuning brings over the default one; lower rows: what "
        "ResNet-50 gains by pre-training with an augmentation, for each augmentation in fine-tuning.",
        "One run a cell: the paper gives no seeds, so that tenths of a point may be chance.",
    ]
    return Report(
        "Augmentation in fine-tuning and in pre-training", rows, notes, dict.fromkeys(rows.columns[3:], "+.2f")
    )


def aptos() -> Report:
    from common.study.aptos import gain_of_augmentation, interventions

    gain = gain_of_augmentation()
    notes = [
        "Quadratic weighted kappa on the private leaderboard; chosen_by_public: of the run that is best on the public.",
        f"More augmentation brings {gain['best_private']:+.3f} (best), {gain['chosen_by_public']:+.3f} (chosen by the "
        f"public score), {gain['median_private']:+.3f} (median of the grid); the paper says 0.03.",
        "The winner's single Inception-ResNet v2 has 0.927, the winning ensemble 0.936 (Section 4.2).",
    ]
    return Report("APTOS: what interventions bring at 512 pixels", interventions(), notes, {})


def fid() -> Report:
    from common.study.distance import distances, rank_correlation_with_distance, real_world_is_further
    from common.study.trend import trend

    rows = distances().join(trend(tables.scores())).reset_index(drop=True)
    real, web, p = real_world_is_further()
    tests = rank_correlation_with_distance()
    ranks = "; ".join(f"{name}: rho {rho:+.2f} (p = {p_value:.2f})" for name, (rho, p_value) in tests.items())
    notes = [
        f"Median distance {real:.0f} for real-world data sets, {web:.0f} for those scraped from the web "
        f"(Mann and Whitney's U-test, p = {p:.4f}).",
        f"Distance with the trend over the six data sets, Spearman: {ranks}.",
    ]
    return Report("Fréchet inception distance to ImageNet", rows, notes, {"fid_to_imagenet": ".2f"})


def control(results: Path, above: float, scale: Scale) -> Report:
    from common.study.control import beside_control

    rows = beside_control(read_scores(results), above, scale).rename_axis("dataset").reset_index()
    notes = [
        "low, high: 95% bootstrap interval of the correlation. The paper shows a picture (Appendix E), no numbers."
    ]
    title = f"Web-scraped data sets beside real-world ones, models above {above:.0%} ImageNet top-1, {scale} scale"
    return Report(title, rows, notes)


def metrics(results: Path, above: float) -> Report:
    from common.study.control import by_metric

    rows = by_metric(read_scores(results), above).rename_axis("dataset").reset_index()
    notes = ["rho: rank correlation of the two metrics over all models. The paper shows a picture (Appendix H)."]
    return Report(f"One data set by two metrics, models above {above:.0%} ImageNet top-1", rows, notes)


def leaderboard(results: Path | None) -> Report:
    from common.study.leaderboard import leaderboard
    from common.study.results import read_rows_of_runs

    own = read_rows_of_runs(results) if results else None
    board, incomplete = leaderboard(own)
    names = real_world(board.drop(columns=["whose", "average", "low", "high", "recipes", "environment"]))
    rows = board.rename_axis("backbone").reset_index()
    rows.insert(0, "rank", range(1, len(rows) + 1))
    notes = [f"average: standardised logits over {', '.join(names)}; 0: the mean of the paper's models."]
    if results:
        notes.append(
            "low, high: 95% interval from the seeds and the test set's intervals, blank where neither is known."
        )
        notes += [
            f"{row.backbone}: recipe {row.recipes}{_in(row.environment)}"
            for row in rows.itertuples()
            if row.whose == "own"
        ]
        notes += not_comparable(own)
    if incomplete:
        notes.append(f"No rank, for they lack a data set: {', '.join(incomplete)}.")
    rows = rows.drop(columns=["recipes", "environment"])
    if not results:
        rows = rows.drop(columns=["low", "high"])
    return Report(
        "Backbones by the average over data sets", rows, notes, dict.fromkeys(("average", "low", "high"), "+.2f")
    )


def not_comparable(own: pd.DataFrame) -> list[str]:
    """A note on results of other data or another protocol than the paper's, as far as the table tells."""
    from common.study.transfer import COLUMNS, unlike_the_paper

    if not set(COLUMNS) <= set(own):
        return []
    first = own[own["dataset"].isin(tables.read("datasets").index)].groupby("dataset").head(1)
    told = [f"{row['dataset']} ({why})" for _, row in first.iterrows() if (why := unlike_the_paper(row))]
    return [f"One's own rows cannot be compared with the paper's on {', '.join(told)}."] if told else []


def _in(environment: object) -> str:
    return f"; {environment}" if isinstance(environment, str) and environment else ""


def _statistic(statistic: Statistic, name: str, results: Path | None) -> tuple[pd.DataFrame, list[str]]:
    """A statistic beside the paper's table of it, and what to say of it."""
    if results:
        return beside(statistic(read_scores(results)), name), ["paper: its own value, from its own 19 models."]
    return compare(statistic, name), [REASONS, TWO_COLUMNS]


def _long(frame: pd.DataFrame) -> pd.Series:
    return frame.stack()
