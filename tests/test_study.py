"""The study: the paper's tables come out again from its own scores, and one's own results go the same way."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from common.command import run
from common.errors import UserError
from common.study import tables
from common.study.__main__ import VERBS, main
from common.study.aptos import gain_of_augmentation
from common.study.augmentation import fine_tuning_gains, pretraining_gains
from common.study.averages import average, average_of_others, standardised_logits
from common.study.bootstrap import interval, resamples
from common.study.clip import above_best, gains
from common.study.comparison import AS_PRINTED, ROUNDING, UNKNOWN, compare
from common.study.distance import real_world_is_further
from common.study.f_test import f_test
from common.study.figures import figures
from common.study.leaderboard import leaderboard
from common.study.parameters import by_parameters, counted, printed
from common.study.report import WIDTH
from common.study.results import read_rows_of_runs, read_scores
from common.study.scales import logit
from common.study.spearman import spearman
from common.study.trend import band, fit, points, trend, trend_intervals

PAPER = Path(__file__).resolve().parents[1].parent / "shared" / "paper"
HEADER = "dataset,backbone,metric,recipe,seed,score,low,high,environment\n"


def results_csv(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "results.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def compared() -> dict[str, pd.DataFrame]:
    """Every statistic that the paper prints a table of, beside that table."""
    return {name: compare(how, name, draws=40) for name, how in STATISTICS.items()}


STATISTICS = {"trend": trend, "f_test": f_test, "spearman": spearman}


@pytest.mark.skipif(not PAPER.is_dir(), reason="no figures of the paper beside the repository")
@pytest.mark.parametrize("path", sorted(PAPER.glob("*.csv")), ids=lambda path: path.stem)
def test_every_number_of_the_paper_is_in_the_projects_tables(path):
    def numbers(file: Path) -> list[str]:
        with open(file, encoding="utf-8") as lines:
            cells = [cell for row in list(csv.reader(lines))[1:] for cell in row]
        return [cell for cell in cells if cell.replace(".", "").isdigit()]

    assert numbers(path) == numbers(tables.FOLDER / path.name)


def test_every_table_names_its_place_in_the_paper():
    files = {path.name for path in tables.FOLDER.glob("*.csv")} - {"sources.csv"}
    assert set(tables.read("sources").index) == files
    assert tables.read("sources")["where"].str.contains("Table").all()


def test_the_trend_comes_out_within_two_hundredths_in_every_cell(compared):
    assert len(compared["trend"]) == 12
    assert compared["trend"]["difference"].abs().max() <= 0.02


def test_adjusted_r2_comes_out_within_three_hundredths_in_every_cell(compared):
    cells = compared["f_test"][compared["f_test"]["quantity"].str.startswith("adjusted_r2")]
    assert len(cells) == 18
    assert cells["difference"].abs().max() <= 0.03


def test_rank_correlations_come_out_within_a_fortieth_but_for_cassava_against_imagenet(compared):
    cells = compared["spearman"][compared["spearman"]["quantity"].str.endswith("_rho")]
    far = cells[cells["difference"].abs() > 0.025]
    assert len(cells) == 18
    assert far[["dataset", "quantity"]].to_numpy().tolist() == [["cassava", "imagenet_rho"]]
    assert far["difference"].abs().max() <= 0.05


def test_the_f_tests_find_significant_what_the_paper_finds_significant(compared):
    p = compared["f_test"].pivot(index="dataset", columns="quantity", values="ours")
    assert set(p.index[p["p_adding_average"] < 0.05]) == {"cct20", "aptos", "hpa", "melanoma", "cassava"}
    assert set(p.index[p["p_adding_imagenet"] < 0.05]) == {"melanoma"}
    assert p.loc["aptos", "p_adding_imagenet"] == pytest.approx(0.060, abs=5e-4)  # the paper has 0.047


def test_every_difference_has_a_reason_and_imagenet_ranks_differ_on_two_data_sets_alone(compared):
    for table in compared.values():
        assert table["reason"].isin([AS_PRINTED, ROUNDING, UNKNOWN]).all()
    ranks = compared["spearman"].query("quantity == 'imagenet_rho'").set_index("dataset")["reason"]
    assert set(ranks.index[ranks == UNKNOWN]) == {"melanoma", "cassava"}
    assert (ranks.drop(["melanoma", "cassava"]) == AS_PRINTED).all()


def test_the_line_is_through_the_14_models_above_70_percent_and_is_scipys():
    table = tables.scores()
    known = points(table, "hpa")
    assert len(known) == 14
    expected = stats.linregress(known["imagenet_top1"], known["hpa"])
    line = trend(table).loc["hpa"]
    assert line.to_numpy() == pytest.approx([expected.rvalue, expected.slope])


def test_intervals_hold_the_line_and_a_perfect_line_has_none():
    table = tables.scores()
    low, high = trend_intervals(table)
    ours = trend(table)
    assert ((low < ours) & (ours < high)).all(axis=None)
    exact = table.assign(cct20=0.1 + 0.5 * table["imagenet_top1"])[["imagenet_top1", "cct20"]]
    low, high = trend_intervals(exact)
    assert low.loc["cct20"].to_numpy() == pytest.approx([1, 0.5])
    assert high.loc["cct20"].to_numpy() == pytest.approx([1, 0.5])


def test_the_band_is_narrowest_in_the_middle_of_the_points():
    x, y = points(tables.scores(), "cct20").to_numpy().T
    low, high = band(x, y, np.array([x.min(), x.mean(), x.max()]))
    assert (high - low).argmin() == 1


def test_a_line_through_points_that_are_all_the_same_is_not_a_number():
    line = fit(np.full(4, 0.5), np.arange(4.0))
    assert np.isnan(line.slope)
    assert np.isnan(line.correlation)


@pytest.mark.parametrize("value", [0.1, 0.7, 0.71, 0.123])
@pytest.mark.parametrize("models", [3, 6, 14, 19])
def test_a_mean_that_is_rounded_makes_no_line(models, value):
    same, others = np.full(models, value), np.linspace(0.5, 0.9, models)
    assert np.isnan(fit(same, others).slope)
    assert np.isnan(fit(others, same).correlation)


def test_the_interval_of_14_models_holds_the_truth_nearly_as_often_as_it_says():
    generator = np.random.default_rng(0)
    held = []
    for _ in range(300):
        x, noise = generator.normal(size=(2, 14))
        drawn = resamples(14, draws=1000)
        low, high = interval(fit(x[drawn], (0.5 * x + 0.75**0.5 * noise)[drawn]).correlation)
        held.append(low <= 0.5 <= high)
    assert 0.87 < np.mean(held) < 0.97


def test_averages_leave_the_data_set_out_and_weigh_the_others_alike():
    table = tables.scores()
    standardised = standardised_logits(table)
    assert standardised.std(ddof=0).to_numpy() == pytest.approx(np.ones(6))
    others = average_of_others(standardised, "hpa")
    assert others["AlexNet"] == pytest.approx(standardised.loc["AlexNet"].drop("hpa").mean())
    assert average(table).idxmax() == "ConvNext-tiny"


def test_a_score_without_a_logit_is_named():
    with pytest.raises(UserError, match=r"mine, cct20: a score of 1 has no logit"):
        logit(pd.DataFrame({"cct20": [0.5, 1.0]}, index=["theirs", "mine"]))


def test_parameters_are_no_better_a_guide_than_imagenet_on_any_data_set():
    table = by_parameters(tables.scores(), counted())
    assert (table["models"] == 19).all()
    assert (table["parameters"] < table["imagenet"]).all()
    assert printed()["ViT-B/16"] == 304e6
    assert counted()["ViT-B/16"] == pytest.approx(86.6e6, rel=0.01)


def test_clips_data_help_three_data_sets_at_the_same_architecture_and_the_largest_beats_all():
    helped = (gains() > 0).all()
    assert set(helped.index[helped]) == {"cct20", "hpa", "cassava"}
    assert (above_best().loc["CLIP-L14@336"] > 0).all()
    assert (above_best().loc["CLIP-L14"] > 0).sum() == 4


def test_randaugment_helps_resnets_in_fine_tuning_and_augmix_does_not_help_in_pretraining():
    resnets = fine_tuning_gains().query("model == 'ResNet-50'")
    assert (resnets["randaugment"] > 0).sum() == 5
    before = pretraining_gains()
    assert (before["imagenet_top1"] > 0).all()
    assert before.loc["AugMix", ["base", "augmix", "randaugment"]].to_numpy().mean() < 0
    assert before.loc["RandAugment", ["base", "augmix", "randaugment"]].to_numpy().mean() > 0


def test_more_augmentation_brings_three_hundredths_of_kappa_on_aptos():
    assert gain_of_augmentation()["best_private"] == pytest.approx(0.033, abs=1e-9)


def test_the_real_world_is_further_from_imagenet_than_the_web():
    real, web, p = real_world_is_further()
    assert real > web
    assert p < 0.01


def test_own_results_average_seeds_take_the_best_recipe_and_keep_a_second_metric_apart(tmp_path):
    path = results_csv(
        tmp_path,
        "cct20,resnet50,accuracy,a,0,0.70,,,",
        "cct20,resnet50,accuracy,a,1,0.80,,,",
        "cct20,resnet50,accuracy,b,0,0.60,,,",
        "melanoma,resnet50,accuracy,a,0,0.95,,,",
        "melanoma,resnet50,roc_auc,a,0,0.90,,,",
    )
    table = read_scores(path)
    assert table.loc["resnet50", "cct20"] == pytest.approx(0.75)
    assert table.loc["resnet50", ["melanoma", "melanoma:accuracy"]].tolist() == [0.90, 0.95]
    assert table.loc["resnet50", "imagenet_top1"] == pytest.approx(0.761)  # from the zoo
    assert tables.real_world(table) == ["cct20", "melanoma"]


def test_a_table_of_the_papers_own_shape_gives_the_papers_statistics():
    table = read_scores(tables.FOLDER / "models_by_dataset.csv")
    pd.testing.assert_frame_equal(trend(table), trend(tables.scores()))


def test_the_leaderboard_ranks_a_copy_of_a_paper_model_beside_it_with_an_interval(tmp_path):
    rows = [f"cct20,mine,accuracy,abc,{seed},{0.7396 + off},0.73,0.75,cpu" for seed, off in ((0, 0.001), (1, -0.001))]
    rows += ["eurosat,mine,accuracy,abc,0,0.9919,0.99,0.9935,cpu", "hpa,other,macro_f1,abc,0,0.5,,,cpu"]
    rows += ["eurosat,other,accuracy,abc,0,0.98,,,cpu", "cifar10,mine,accuracy,abc,0,0.9,,,cpu"]
    board, incomplete = leaderboard(read_rows_of_runs(results_csv(tmp_path, *rows[:3])))
    assert board.loc["mine", "average"] == pytest.approx(board.loc["ResNet-50", "average"], abs=1e-3)
    assert board.loc["mine", "low"] < board.loc["mine", "average"] < board.loc["mine", "high"]
    assert (board.loc["mine", "recipes"], board.loc["mine", "environment"]) == ("abc", "cpu")
    assert not incomplete
    with pytest.raises(UserError, match="no backbone has a score on each of cct20, hpa, eurosat"):
        leaderboard(read_rows_of_runs(results_csv(tmp_path, *rows)))


def test_a_backbone_that_lacks_a_data_set_has_no_rank(tmp_path):
    rows = ["cct20,whole,accuracy,a,0,0.7,,,", "eurosat,whole,accuracy,a,0,0.98,,,", "cct20,part,accuracy,a,0,0.8,,,"]
    board, incomplete = leaderboard(read_rows_of_runs(results_csv(tmp_path, *rows)))
    assert incomplete == ["part"]
    assert "part" not in board.index
    assert np.isnan(board.loc["whole", "low"])  # one seed and no interval: nothing is known


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["cct20,a,accuracy,r,0,75,,,"], "'score' must be a number from -1 to 1, but line 2 has '75'"),
        (["cct20,a,accuracy,r,0,good,,,"], "'score' must be a number from -1 to 1, but line 2 has 'good'"),
        (["cct20,a,accuracy,r,0,,,,"], "'score' is blank in line 2"),
        (["cct20,a,accuracy,r,0,0.7,,,"] * 2, "line 3 repeats a data set"),
        ([], "a header and no rows"),
    ],
)
def test_wrong_results_are_refused_by_line(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        read_scores(results_csv(tmp_path, *rows))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": ""}, "'dataset' is blank in line 2"),
        ({"backbone": " "}, "'backbone' is blank in line 2"),
        ({"seed": ""}, "'seed' is blank in line 2"),
        ({"low": "0.8", "high": "0.6"}, "'low' is above 'high' in line 2"),
        ({"metric": "Accuracy"}, "cct20 wants the metric accuracy, found Accuracy"),
        ({"parameters": "0"}, "'parameters' must be a number from 1"),
        ({"parameters": "inf"}, "'parameters' must be a number from 1"),
        ({"imagenet_top1": "0.9"}, "'imagenet_top1' of a must be one number, but it has 0.9, 0.7; keep one"),
    ],
)
def test_rows_that_tell_nothing_or_contradict_each_other_are_refused(tmp_path, fields, message):
    row = {"dataset": "cct20", "backbone": "a", "metric": "accuracy", "recipe": "r", "seed": "0", "score": "0.7"}
    row |= {"low": "", "high": "", "imagenet_top1": "0.7", "parameters": ""}
    other = row | {"dataset": "plants"}
    pd.DataFrame([row | fields, other]).to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(UserError, match=message):
        read_scores(tmp_path / "results.csv")


def test_percent_among_fractions_is_refused(tmp_path):
    (tmp_path / "wide.csv").write_text("model,imagenet_top1,cct20\na,0.7,0.6\nb,0.8,75.1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"'cct20' has 0.6 and 75.1; give all in percent or all as fractions"):
        read_scores(tmp_path / "wide.csv")


def test_a_table_without_a_data_set_is_refused(tmp_path):
    (tmp_path / "wide.csv").write_text("model,imagenet_top1\na,0.7\n", encoding="utf-8")
    with pytest.raises(UserError, match="column of a data set is missing"):
        read_scores(tmp_path / "wide.csv")


def six_models(folder: Path, score, top1=(0.6, 0.7, 0.75, 0.8, 0.82, 0.83), sets=("cct20", "hpa")) -> str:
    rows = [{"model": f"m{i}", "imagenet_top1": of} | {name: score(i) for name in sets} for i, of in enumerate(top1)]
    pd.DataFrame(rows).to_csv(folder / "wide.csv", index=False)
    return str(folder / "wide.csv")


@pytest.mark.parametrize("verb", ["f-test", "spearman", "average"])
def test_scores_that_are_all_the_same_are_named(tmp_path, verb, capsys):
    assert run(main, [verb, "--results", six_models(tmp_path, lambda i: 0.7)]) == 2
    assert "all models have the same cct20, hpa" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["f-test", "spearman"])
def test_a_single_imagenet_accuracy_is_named(tmp_path, verb, capsys):
    assert run(main, [verb, "--results", six_models(tmp_path, lambda i: 0.5 + i / 20 + i % 2 / 9, [0.8] * 6)]) == 2
    assert "all models have the same imagenet_top1" in capsys.readouterr().err


def test_a_trend_without_a_line_is_blank_and_silent(tmp_path, capsys):
    assert run(main, ["trend", "--json", "--results", six_models(tmp_path, lambda i: 0.7)]) == 0
    told = capsys.readouterr()
    assert [row["ours"] for row in json.loads(told.out)["rows"] if row["quantity"] == "correlation"] == [None, None]
    assert not told.err


@pytest.mark.parametrize("verb", ["trend", "f-test", "spearman", "average", "parameters"])
def test_models_without_an_imagenet_accuracy_are_told_so(tmp_path, verb, capsys):
    rows = [f"{name},m{i},{metric},r,0,0.{i + 4},,," for i in range(5) for name, metric in SETS]
    assert run(main, [verb, "--results", str(results_csv(tmp_path, *rows))]) == 2
    assert "imagenet_top1" in capsys.readouterr().err


SETS = (("cct20", "accuracy"), ("hpa", "macro_f1"))


def test_models_of_one_imagenet_accuracy_share_the_best_of_their_ranks(tmp_path, capsys):
    path = six_models(tmp_path, lambda i: 0.5 + i / 20, (0.6, 0.7, 0.75, 0.8, 0.8, 0.8))
    assert run(main, ["average", "--json", "--results", path]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["imagenet_rank"] for row in rows] == [1, 1, 1, 4, 5, 6]


def test_a_metric_with_too_few_models_is_named(tmp_path, capsys):
    rows = [f"melanoma,m{i},{metric},r,0,0.{i + 4},,," for i in range(2) for metric in ("roc_auc", "accuracy")]
    assert run(main, ["metrics", "--results", str(results_csv(tmp_path, *rows))]) == 2
    assert "error: melanoma: a line needs 3 models" in capsys.readouterr().err


def test_figures_name_the_data_set_that_lacks_models_and_draw_no_control_where_there_is_none(tmp_path):
    table = read_scores(Path(six_models(tmp_path, lambda i: 0.5 + i / 20)))
    drawn = figures(table, table["parameters"], 0.7, own=True)
    with pytest.raises(UserError, match="no web-scraped data set"):
        drawn["control"]()
    with pytest.raises(UserError, match="cct20: a line needs 3 models with a score, imagenet_top1 and 'parameters'"):
        drawn["parameters"]()
    with pytest.raises(
        UserError, match="cct20: a line needs 3 models with a score and imagenet_top1 above 82%, found 1"
    ):
        figures(table, table["parameters"], 0.82, own=True)["transfer"]()


def test_axes_are_of_scores_and_names_stay_in_their_panel(tmp_path):
    import matplotlib

    matplotlib.use("agg")
    path = Path(six_models(tmp_path, lambda i: 0.999 if i == 5 else 0.5 + i / 20, sets=("cct20", "hpa", "aptos")))
    table = read_scores(path).rename(index=lambda name: f"{name}_vit_large_patch14_clip_quickgelu_336.openai")
    figure = figures(table, table["parameters"], 0.7, own=True)["transfer"]()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert 0.3 < low < high < 1.1
        assert all(place <= 1 for place in axes.get_yticks())
        inside = axes.get_window_extent()
        for name in axes.texts:
            extent = name.get_window_extent()
            assert inside.x0 <= extent.x0 < extent.x1 <= inside.x1


def test_the_command_line_refuses_in_one_line_with_exit_code_2(tmp_path, capsys):
    assert run(main, ["control"]) == 2
    assert run(main, ["trnd"]) == 2
    assert run(main, ["trend", "--results", str(tmp_path / "none.csv")]) == 2
    assert run(main, ["trend", "--above", "70"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    assert "did you mean 'trend'" in told[1]
    assert "70% is --above 0.7" in told[3]


ELSEWHERE = ("figures", "control", "metrics", "f-test", "spearman", "fid-measure", "collect", "transfer")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ELSEWHERE])
def test_every_verb_prints_a_table_of_at_most_100_columns_and_the_same_as_json(verb, capsys):
    assert run(main, [verb]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert run(main, [verb, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]


def test_controls_and_second_metrics_come_from_ones_own_results(tmp_path, capsys):
    rows = []
    for backbone, top1, score in (("a", 0.6, 0.7), ("b", 0.7, 0.75), ("c", 0.8, 0.9), ("d", 0.82, 0.88)):
        for data_set, metric in (("cct20", "accuracy"), ("cifar10", "accuracy"), ("melanoma", "roc_auc")):
            rows.append(f"{data_set},{backbone},{metric},r,0,{score},,,,{top1}")
        rows.append(f"melanoma,{backbone},accuracy,r,0,{score / 2},,,,{top1}")
    path = results_csv(tmp_path, *rows, header=HEADER.replace("\n", ",imagenet_top1\n"))
    for verb in ("control", "metrics"):
        assert run(main, [verb, "--results", str(path), "--above", "0.5", "--json"]) == 0
    control, metrics = capsys.readouterr().out.split("}\n{")
    assert [row["dataset"] for row in json.loads(control + "}")["rows"]] == ["cifar10", "cct20", "melanoma"]
    assert [row["rho"] for row in json.loads("{" + metrics)["rows"]] == [1.0, 1.0]


def test_help_answers_without_importing_pandas():
    start = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "common.study", "--help"], capture_output=True, text=True, check=True
    )
    assert "leaderboard" in told.stdout
    assert "pandas" not in told.stderr
    assert "torch" not in told.stderr
    assert time.perf_counter() - start < 5


@pytest.mark.slow
def test_figures_are_written_in_three_formats_with_one_page_to_point_at(tmp_path, capsys):
    assert run(main, ["figures", "--to", str(tmp_path)]) == 0
    names = ["transfer", "transfer-logit", "parameters", "clip", "augmentation", "distance"]
    expected = {f"{name}{suffix}" for name in names for suffix in (".png", ".svg", ".pdf")} | {"study.html"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert "control: not drawn" in capsys.readouterr().out
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert "ConvNext-tiny" in page
    assert "<script src=" not in page
