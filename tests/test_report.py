"""Pages: what they say is true, nothing in them is fetched, and what has not changed is not made again."""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from common.decide import fit_rule
from common.ensemble import blend_runs
from common.errors import UserError
from common.files import write_text
from common.metrics import evaluate
from common.models.build import build
from common.options import Options
from common.paired import compare
from common.recipe import Recipe
from common.report.asked import called, nearest
from common.report.calibration import calibration
from common.report.charts import Series, chart, ticks
from common.report.classes import confusion, mistakes, per_class
from common.report.competition_page import Known, Leaderboard, write_competition_page
from common.report.gallery import most_wrong
from common.report.index_page import write_index
from common.report.page import embedded
from common.report.run_page import write_run_page
from common.report.seen import looked_at
from common.report.thresholds import of_classes, of_grades
from common.report.versus import pairs
from common.run import Run
from competitions import load
from competitions.__main__ import run as command
from competitions.reporting import best_run, run_mark
from tests.made_up_runs import made_up_run
from tests.small_data import RECIPE, write_small_aptos

APTOS, HPA, MELANOMA, CASSAVA = (load(name) for name in ("aptos", "hpa", "melanoma", "cassava"))
GRADES = RECIPE.with_fields(loss="smooth_l1", decision="thresholds", flips="both")


def rows_of(competition, n: int = 300) -> pd.DataFrame:
    """`id` and `label`, every class among them."""
    labels = np.arange(n) % len(competition.classes)
    several = [f"{min(a, b)} {max(a, b)}" for a, b in zip(labels, (labels + 3) % 28, strict=True)]
    return pd.DataFrame({"id": [f"{i:05}" for i in range(n)], "label": several if competition is HPA else labels})


def fetched(page: str) -> list[str]:
    """What a browser would load for the page: every address that is not data."""
    return re.findall(r"""(?:src=|<link[^>]*href=|url\(|@import\s)["']?(?!data:)([^"')\s>]+)""", page)


@pytest.fixture
def small(tmp_path) -> tuple[Path, Run]:
    """A small APTOS download and a made-up run on it, with weights."""
    raw = write_small_aptos(tmp_path / "raw")
    train = APTOS.read_train(raw)
    return raw, made_up_run(tmp_path / "runs", APTOS, GRADES.with_fields(input_size=64), train, 0.3, weights=True)


def page_of(competition, run: Run) -> str:
    """The run's page, made without its images."""
    return write_run_page(competition, run, None, "", Options(device="cpu"))[0].read_text()


def competition_page_of(competition, *runs: Run) -> str:
    known = Known(competition, runs, dict.fromkeys((run.id for run in runs), ""), [], runs[0].folder.parents[1])
    return write_competition_page(known)[0].read_text()


def test_probabilities_that_come_true_have_no_calibration_error():
    random = np.random.default_rng(0)
    said = random.random(200_000)
    found = calibration(said, (random.random(len(said)) < said).astype(int), "binary")
    assert found.error < 0.005
    assert found.counts.sum() == len(said)


def test_a_network_that_is_always_sure_and_half_right_is_off_by_half():
    outputs, labels = np.eye(4)[np.zeros(100, int)], np.arange(100) % 2
    assert calibration(outputs, labels, "multiclass").error == pytest.approx(0.5)


def test_of_grades_the_distance_is_told_in_grades():
    labels = np.repeat(np.arange(5), 20)
    assert calibration(labels + 0.25, labels, "ordinal").error == pytest.approx(0.25)


def test_the_curve_of_a_fitted_cut_is_highest_where_it_was_fitted():
    random = np.random.default_rng(1)
    labels = np.arange(1000) % 5
    outputs = labels + random.normal(0, 0.6, 1000)
    rule = fit_rule("thresholds", outputs, labels, 5)
    best = evaluate("quadratic_weighted_kappa", labels, rule(outputs), 5)
    curves = of_grades(rule, outputs, labels, "quadratic_weighted_kappa", APTOS.classes)
    assert len(curves) == 4
    assert all(max(one.y) <= best + 1e-9 for one in curves)
    assert all(max(one.y) > best - 0.01 for one in curves)


def test_f1_over_the_cut_of_a_class_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    random = np.random.default_rng(2)
    labels, probabilities = random.integers(0, 2, (50, 3)), random.random((50, 3))
    cuts, found = of_classes(probabilities, labels)
    there = f1_score(labels, probabilities >= cuts[20], average=None)
    np.testing.assert_allclose(found[20], there)


def test_the_table_of_classes_is_that_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(3)
    labels, decided = random.integers(0, 4, 200), random.integers(0, 4, 200)
    table = per_class(labels, decided, ["a", "b", "c", "d"])
    wanted = precision_recall_fscore_support(labels, decided)
    np.testing.assert_allclose(table[["precision", "recall", "f1", "support"]].T.to_numpy(), np.array(wanted))
    counts = confusion(labels, decided, 4)
    worst = mistakes(counts, ["a", "b", "c", "d"]).iloc[0]
    assert worst["rows"] == (counts - np.diag(np.diag(counts))).max()


def test_the_gallery_takes_the_worst_of_each_label_in_turn_and_nothing_that_is_right():
    suspects = pd.DataFrame({"label": [0, 0, 0, 1, 2], "predicted": [1, 1, 2, 0, 2], "suspicion": [9, 8, 7, 6, 5]})
    assert most_wrong(suspects, 3).index.tolist() == [0, 3, 1]


@pytest.mark.parametrize(
    ("backbone", "how"),
    [("test_resnet", "Grad-CAM"), ("squeezenet1_1", "Grad-CAM"), ("test_vit", "attention roll-out")],
)
def test_where_a_network_looked_is_a_map_of_the_image(backbone, how):
    torch.manual_seed(0)
    network = build(Recipe(backbone=backbone, weights="none", input_size=64), 5)
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    told, maps = looked_at(network, images, torch.tensor([0, 4]))
    assert told == how
    assert maps.shape[0] == 2
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_grad_cam_finds_the_place_that_speaks_for_the_output():
    network = build(Recipe(backbone="test_resnet", weights="none", input_size=160), 2)
    with torch.no_grad():
        features = network.backbone.forward_features(torch.zeros(1, 3, 160, 160))
    marked = torch.zeros_like(features)
    marked[0, :, 1, 3] = 1.0
    network.backbone.forward_features = lambda inputs: marked
    with torch.no_grad():
        network.classifier.weight[1] = 1.0
    _, maps = looked_at(network, torch.zeros(1, 3, 160, 160, dtype=torch.uint8), torch.tensor([1]))
    assert np.unravel_index(maps[0].argmax(), maps[0].shape) == (1, 3)


def test_ticks_are_round_and_inside():
    assert [text for _, text in ticks((0.0, 1.0))] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in ticks((-3.0, 41.0))] == ["0", "10", "20", "30", "40"]


def test_a_chart_holds_its_numbers_as_a_table_and_escapes_its_names():
    made = chart("a < b", "x", "y", [Series("<i>", [1, 2], [0.5, 0.25])])
    assert "a &lt; b" in made
    assert "<i>" not in made
    assert made.count('<td class="number">0.2500</td>') == 1


def test_epochs_have_whole_ticks():
    texts = re.findall(
        r'text-anchor="middle">([\d.]+)<', chart("loss", "epoch", "loss", [Series("a", [1, 2], [0.3, 0.2])])
    )
    assert texts == ["1", "2"]
    assert [text for _, text in ticks((0.5, 1.5), whole=True)] == ["1"]


def test_a_line_of_one_point_is_seen():
    assert "<circle" in chart("a", "x", "y", [Series("a", [1], [0.5], dots=False)])


def test_a_name_cannot_end_the_script_that_holds_it():
    assert "</script>" not in embedded({"name": "</script>"})


def test_a_recipe_is_called_by_the_nearest_one_and_what_differs():
    recipe = APTOS.recipes["winner"].with_fields(seed=3)
    assert nearest(APTOS, recipe) == ("winner", {"seed": (3, 0)})
    assert called(APTOS, recipe) == "winner, seed 3"


def test_the_page_of_a_run_shows_its_score_its_pictures_and_fetches_nothing(small):
    raw, run = small
    path, made = write_run_page(APTOS, run, APTOS.read_train(raw), "sample data", Options(device="cpu"))
    page = path.read_text()
    assert made
    assert f"{run.metrics['score']:.4f}" in page
    assert '<span class="mark">sample data</span>' in page
    maps = page.count("where the network looked for a higher grade")
    assert 0 < maps == page.count("; map for a higher grade") <= page.count('<li><div class="pair">')
    assert "Expected calibration error" in page or "Mean distance" in page
    assert fetched(page) == []
    assert path.stat().st_size < 5e6


def test_a_network_that_ends_in_one_place_has_no_maps_and_its_page_says_so(small, tmp_path):
    raw, _ = small
    train = APTOS.read_train(raw)
    run = made_up_run(tmp_path / "runs", APTOS, GRADES, train, 0.3, weights=True)  # 32 pixels end in 1 × 1
    page = write_run_page(APTOS, run, train, "", Options(device="cpu"))[0].read_text()
    assert '<div class="pair">' in page
    assert "where the network looked for" not in page
    assert "There are no maps" in page


def test_a_page_that_would_come_out_the_same_is_not_made_again(small):
    raw, run = small
    asked = (APTOS, run, APTOS.read_train(raw), "", Options(device="cpu"))
    assert write_run_page(*asked)[1]
    assert not write_run_page(*asked)[1]
    assert not write_run_page(APTOS, run, None, "", Options(device="cpu"))[1], "its pictures are kept"
    write_text(run.folder / "suspects.csv", "id\n")
    assert write_run_page(*asked)[1]


@pytest.mark.parametrize(
    ("competition", "loss", "decision"),
    [(HPA, "bce", "prevalence"), (MELANOMA, "bce", "probability"), (CASSAVA, "cross_entropy", "argmax")],
    ids=["several classes", "probabilities", "one class"],
)
def test_every_task_has_its_page_also_without_the_images(tmp_path, competition, loss, decision):
    recipe = RECIPE.with_fields(loss=loss, decision=decision, flips="both")
    run = made_up_run(tmp_path, competition, recipe, rows_of(competition), 0.3)
    page = write_run_page(competition, run, None, "", Options(device="cpu"))[0].read_text()
    assert "Calibration" in page
    assert ("Thresholds" in page) == (competition is not CASSAVA)
    assert ("Confusion matrix" in page) == (competition is not HPA)
    assert "There are no maps" in page
    assert "are not here" in page


def test_a_run_that_decides_all_right_has_no_gallery(tmp_path):
    page = page_of(CASSAVA, made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.0))
    assert "Nothing is wrong." in page
    assert "The worst of each label" not in page


def test_probabilities_that_are_all_alike_are_told_as_they_are_cut(tmp_path):
    run = made_up_run(tmp_path, MELANOMA, RECIPE.with_fields(loss="bce", decision="probability"), rows_of(MELANOMA), 0)
    file = run.folder / "out_of_fold.parquet"
    pd.read_parquet(file).assign(output=0.5).to_parquet(file, index=False)
    page = page_of(MELANOMA, run)
    assert "300 rows called malignant, 150 labelled so" in page
    curves = page.split('aria-label="Precision and recall over the cut"')[1].split("</svg>")[0]
    assert curves.count("<circle") == 2


def test_a_cut_beyond_the_axis_is_not_drawn():
    drawn = chart("F1", "cut", "F1", [Series("a", [0, 1], [0.5, 0.6])], x=(0, 1), marks=[(0.4, "in"), (-0.5, "out")])
    assert "<title>in</title>" in drawn
    assert "<title>out</title>" not in drawn


def test_a_blend_is_not_shown_with_the_backbone_of_its_first_member(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.3) for seed in (1, 2)]
    runs[0].update(blend={"of": [runs[1].id, "0123456789ab"], "how": "mean", "by": [1, 1]})
    page = competition_page_of(CASSAVA, *runs)
    rows = [row.split("</tr>")[0] for row in page.split("<tr>")]
    blend, member = (next(row for row in rows if row.startswith(f"<td>{run.id}")) for run in runs)
    assert "blend of 2" in blend
    assert "test_resnet" not in blend
    assert "test_resnet" in member


def test_a_blend_says_what_its_data_are_also_where_they_are_gone(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.3) for seed in (1, 2)]
    assert run_mark(blend_runs(CASSAVA, runs, "mean", [1, 1], tmp_path), None) == "sample data"


def test_a_class_that_no_held_out_row_has_has_no_threshold_to_show(tmp_path):
    rows = rows_of(HPA).assign(label="0 1")
    page = page_of(HPA, made_up_run(tmp_path, HPA, RECIPE.with_fields(loss="bce", decision="prevalence"), rows, 0.3))
    assert re.findall(r"<figcaption>(.*): F1 over its cut", page) == list(HPA.classes[:2])
    assert "classes that none of them has are left out" in page


def test_with_one_fold_the_page_says_what_the_rule_was_fitted_on(tmp_path):
    run = made_up_run(tmp_path, APTOS, GRADES, rows_of(APTOS), 0.3)
    assert "each fold decided by a rule fitted on the others" in page_of(APTOS, run)
    run.folder.joinpath("metrics.json").write_text(json.dumps({**run.metrics, "folds": {"0": 0.8}}))
    assert "each fifth of them decided by a rule fitted on the others" in page_of(APTOS, run)


def test_a_run_that_has_lost_its_score_is_not_called_finished(tmp_path):
    run = made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.3)
    (run.folder / "metrics.json").unlink()
    page = page_of(CASSAVA, run)
    assert "not finished, started" in page
    assert "finished 2026" not in page


def test_the_page_of_a_blend_links_the_members_that_have_a_page(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.3) for seed in (1, 2, 3)]
    blend, there, bare = runs
    blend.update(blend={"of": [there.id, bare.id], "how": "mean", "by": [1, 1]})
    assert "<a href" not in page_of(CASSAVA, blend).split("a blend (mean) of")[1].split("</p>")[0]
    page_of(CASSAVA, there)
    page = page_of(CASSAVA, blend)
    assert f'<a href="../{there.id}/report.html">{there.id}</a>, {bare.id}.' in page


@pytest.mark.parametrize("cut", ["", "epoch,learning_rate,train_loss\n1,0.1,0.5\n", "epoch;score\n1;0.5\n", "\0\xff"])
def test_a_curve_that_is_cut_is_named(tmp_path, cut):
    run = made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.3)
    (run.folder / "fold-1" / "curve.csv").write_text(cut, encoding="latin-1")
    for make in (page_of, competition_page_of):
        with pytest.raises(UserError, match=r"fold-1/curve\.csv is damaged"):
            make(CASSAVA, run)


@pytest.mark.parametrize("name", ["ablation-x.csv", "studies/s/trials.csv", "studies/s/best.json"])
def test_a_table_of_a_study_that_another_program_wrote_is_named(tmp_path, name):
    run = made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.3)
    write_text(tmp_path / "cassava" / "studies" / "s" / "trials.csv", "trial,state,strength,score\n0,default,1,0.8\n")
    write_text(tmp_path / "cassava" / name, "trial;without;score\n0;tta;0,8\n")
    with pytest.raises(UserError, match=f"{name} is damaged"):
        competition_page_of(CASSAVA, run)


def test_a_study_none_of_whose_trials_has_a_score_is_told(tmp_path):
    run = made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.3)
    trials = "trial,state,strength,score,reason\n0,pruned,1.0,,\n1,fail,0.5,,out of memory\n"
    write_text(tmp_path / "cassava" / "studies" / "s" / "trials.csv", trials)
    assert "Pruned, failed or running still: 2." in competition_page_of(CASSAVA, run)


def test_one_run_is_no_runs(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.3) for seed in (1, 2)]
    assert f"<h1>{CASSAVA.title}: 1 run</h1>" in competition_page_of(CASSAVA, runs[0])
    assert f"<h1>{CASSAVA.title}: 2 runs</h1>" in competition_page_of(CASSAVA, *runs)


def test_a_competition_whose_runs_were_removed_leaves_the_index(tmp_path):
    runs = [made_up_run(tmp_path, one, RECIPE, rows_of(one), 0.3) for one in (CASSAVA, load("eurosat"))]
    for competition, run in zip((CASSAVA, load("eurosat")), runs, strict=True):
        competition_page_of(competition, run)
    assert "cassava.html" in write_index(tmp_path)[0].read_text()
    shutil.rmtree(tmp_path / "cassava")
    index = write_index(tmp_path)[0].read_text()
    assert "cassava.html" not in index
    assert "eurosat.html" in index


def test_what_a_page_left_beside_itself_is_named_where_it_is_cut(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.3) for seed in (1, 2, 3)]
    competition_page_of(CASSAVA, *runs[:2])
    for name in ("cassava.json", "cassava-pairs.json"):
        (tmp_path / "report" / name).write_text('{"of": ')
    way_out = r"is damaged; remove the folder \S+/report: its pages are then made again"
    with pytest.raises(UserError, match=rf"cassava\.json {way_out}"):
        write_index(tmp_path)
    with pytest.raises(UserError, match=rf"cassava-pairs\.json {way_out}"):
        competition_page_of(CASSAVA, *runs)


def test_a_run_without_held_out_rows_has_a_page_without_a_score(tmp_path):
    run = made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.3)
    (run.folder / "out_of_fold.parquet").unlink()
    nothing = '{"metric": "accuracy", "score": null, "interval": null, "n": 0, "folds": {}, "rule": null}'
    write_text(run.folder / "metrics.json", nothing)
    assert "Nothing was held out" in write_run_page(CASSAVA, run, None, "", Options(device="cpu"))[0].read_text()


def test_a_run_of_5000_images_has_its_page_in_30_seconds(tmp_path):
    paths = APTOS.read_train(write_small_aptos(tmp_path / "raw"))["path"]
    train = rows_of(APTOS, 5000)
    train["path"] = np.resize(paths, len(train))
    run = made_up_run(tmp_path, APTOS, GRADES, train, 0.4, weights=True)
    start = time.process_time()
    path, _ = write_run_page(APTOS, run, train, "", Options(device="cpu"))
    assert time.process_time() - start < 30
    assert path.stat().st_size < 5e6


def test_pairs_are_the_paired_bootstrap_and_are_kept(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.2) for seed in (1, 2)]
    other = made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=3), rows_of(CASSAVA, 200), 0.2)
    found = pairs(CASSAVA, [*runs, other], tmp_path / "pairs.json")
    wanted = compare(CASSAVA, [[run] for run in runs]).difference(0, 1)
    assert list(found) == [f"{runs[0].id} {runs[1].id}"]
    np.testing.assert_allclose(next(iter(found.values())), wanted, atol=1e-6)
    kept = (tmp_path / "pairs.json").stat().st_mtime_ns
    assert pairs(CASSAVA, [*runs, other], tmp_path / "pairs.json") == found
    assert (tmp_path / "pairs.json").stat().st_mtime_ns == kept


def test_the_page_of_a_competition_tells_runs_leaderboards_ablations_and_studies(tmp_path):
    runs = [made_up_run(tmp_path, CASSAVA, RECIPE.with_fields(seed=seed), rows_of(CASSAVA), 0.3) for seed in (1, 2)]
    points = [{"run": run.id, "cv": 0.8, "public": 0.7 + i / 10, "private": None} for i, run in enumerate(runs)]
    ablation = f"without,score,brings,low,high,beyond_noise,runs\n,0.8,,0.7,0.9,,{runs[0].id}\n"
    write_text(tmp_path / "cassava" / "ablation-x.csv", ablation + f"tta,0.7,0.1,0.05,0.15,yes,{runs[1].id}\n")
    trials = "trial,state,strength,score,low,high,gain,gain_low,gain_high,epochs,runs,reason\n"
    trials += "0,default,1.0,0.8,0.7,0.9,0.0,0.0,0.0,3,a,\n1,complete,0.5,0.82,0.7,0.9,0.02,-0.1,0.1,3,b,\n"
    write_text(tmp_path / "cassava" / "studies" / "strength-1" / "trials.csv", trials)
    board = Leaderboard("practice: sample data", points, ["practice: sample data: too few to tell"])
    known = Known(CASSAVA, runs, {run.id: "sample data" for run in runs}, [board], tmp_path)
    path, made = write_competition_page(known)
    page = path.read_text()
    assert made
    assert not write_competition_page(known)[1]
    assert all(text in page for text in ("practice: sample data: public 0.8000", "strength-1", "beyond noise", "tta"))
    assert fetched(page) == []
    index = write_index(tmp_path)[0].read_text()
    assert 'href="cassava.html"' in index
    assert "sample data" in index


def test_the_verb_writes_the_pages_of_the_best_run_its_competition_and_the_index(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the ledger is that of the folder
    raw, run = small
    worse = made_up_run(tmp_path / "runs", APTOS, GRADES.with_fields(seed=5), APTOS.read_train(raw), 0.9)
    options = Options(data=str(raw), runs=tmp_path / "runs")
    assert best_run(APTOS, options).id == run.id != worse.id
    words = ["aptos", "report", "--data", str(raw), "--runs", str(tmp_path / "runs"), "--device", "cpu"]
    assert command(words) == 0
    told = capsys.readouterr().out.splitlines()
    pages = [
        run.folder / "report.html",
        *(tmp_path / "runs" / "report" / name for name in ("aptos.html", "index.html")),
    ]
    assert told == [str(page) for page in pages]
    assert command(words) == 0
    assert "as it was" in capsys.readouterr().out


def test_a_run_that_is_not_there_or_of_other_data_is_one_line(small, tmp_path, capsys):
    _, run = small
    runs = ["--runs", str(tmp_path / "runs")]
    assert command(["aptos", "report", "--run", "nothing", *runs]) == 2
    assert "no run 'nothing'" in capsys.readouterr().err
    other = write_small_aptos(tmp_path / "other", n=20)
    assert command(["aptos", "report", "--run", run.id, "--data", str(other), *runs]) == 2
    assert "was trained on other data" in capsys.readouterr().err
    assert command(["hpa", "report", *runs]) == 2
    assert "no finished run of hpa" in capsys.readouterr().err


def test_ranks_are_not_called_probabilities(tmp_path):
    run = made_up_run(tmp_path, CASSAVA, RECIPE, rows_of(CASSAVA), 0.3)
    run.update(blend={"of": ["a", "b"], "how": "rank", "by": [1, 1]})
    page = write_run_page(CASSAVA, run, None, "", Options(device="cpu"))[0].read_text()
    assert "Expected calibration error" not in page
    assert "blends ranks" in page
