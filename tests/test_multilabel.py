"""Several labels a row: cuts that are the very best, never an empty prediction, nothing fitted on what it scores."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.competition import Competition, SubmissionFormat
from common.data import assign_folds, read_data
from common.decide import FITTED, Rule, fit_rule, nested
from common.ensemble import blend_runs, predict_run
from common.errors import UserError
from common.kaggle.practice.competition import PracticeCompetition
from common.labels import as_text, indicator, label_array, rarest_class
from common.metrics import evaluate, macro_f1
from common.multilabel import best_cuts, decide, global_cut, prevalence_cuts
from common.options import Options
from common.outputs import activate, outputs_of, targets_of
from common.predict import members_of
from common.submission import write
from common.train import train
from tests.small_data import RECIPE

CLASSES = 3
MULTI = RECIPE.with_fields(loss="bce", decision="thresholds")


def some_rows(seed: int, n: int, classes: int, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and labels that they know something of; no row is without a class."""
    random = np.random.default_rng(seed)
    labels = (random.random((n, classes)) < [0.5, 0.3, 0.1, 0.2][:classes]).astype(np.int64)
    labels[~labels.any(axis=1), 0] = 1
    return np.round(np.clip(0.3 * labels + 0.6 * random.random((n, classes)), 0, 1), digits), labels


def every_cut(values: np.ndarray) -> np.ndarray:
    places = np.unique(values)
    return np.r_[places[0] - 1, (places[1:] + places[:-1]) / 2, places[-1] + 1]


# Labels as text


def test_labels_become_rows_and_text_again():
    rows = indicator(["0 2", "1", "2 1 0"], CLASSES)
    assert rows.dtype == np.int8
    np.testing.assert_array_equal(rows, [[1, 0, 1], [0, 1, 0], [1, 1, 1]])
    assert as_text(rows) == ["0 2", "1", "0 1 2"]


@pytest.mark.parametrize("text", ["", " ", "3", "0 0", "-1", "1.0", "a", "0,1", "nan"])
def test_a_label_that_is_none_is_named(text):
    with pytest.raises(UserError, match=f"row 1 has the label '{text}'; it needs one class number in 0..2"):
        indicator(["0", text], CLASSES)


def test_folds_spread_each_rows_rarest_class_evenly():
    labels = ["0"] * 60 + ["0 1"] * 30 + ["0 1 2"] * 10
    assert np.bincount(rarest_class(indicator(labels, CLASSES))).tolist() == [60, 30, 10]
    table = pd.DataFrame({"id": [str(i) for i in range(100)], "label": labels})
    folds = assign_folds(competition(), table, MULTI.with_fields(folds=5))
    for fold in range(5):
        np.testing.assert_array_equal(indicator(table["label"][folds == fold], CLASSES).sum(axis=0), [20, 8, 2])


# Cuts


@pytest.mark.parametrize("seed", range(30))
def test_the_cut_of_each_class_is_as_good_as_the_best_of_all(seed):
    probabilities, labels = some_rows(seed, 12, CLASSES, digits=1 + seed % 2)
    cuts = best_cuts(probabilities, labels)
    for k in range(CLASSES):
        column, truth = probabilities[:, [k]], labels[:, [k]]
        best = max(macro_f1(truth, (column >= cut).astype(int), 1) for cut in every_cut(column))
        assert macro_f1(truth, (column >= cuts[k]).astype(int), 1) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_the_global_cut_is_as_good_as_the_best_of_all_with_empty_rows_decided(seed):
    probabilities, labels = some_rows(seed, 12, CLASSES, digits=1 + seed % 2)

    def score(cut: float) -> float:
        return macro_f1(labels, decide(probabilities, [cut] * CLASSES), CLASSES)

    best = max(score(cut) for cut in every_cut(probabilities))
    assert score(global_cut(probabilities, labels)) == pytest.approx(best, abs=1e-12)


def test_a_class_that_nobody_has_is_not_predicted():
    probabilities, labels = some_rows(0, 50, 4)
    labels[:, 3] = 0
    for fit in (best_cuts, prevalence_cuts):
        assert not (probabilities[:, 3] >= fit(probabilities, labels)[3]).any()


def test_prevalence_cuts_predict_each_class_as_often_as_it_is_there():
    random = np.random.default_rng(1)
    probabilities = random.random((1000, 4))
    labels = (random.random((1000, 4)) < [0.4, 0.2, 0.05, 0.01]).astype(np.int64)
    predicted = probabilities >= prevalence_cuts(probabilities, labels)
    np.testing.assert_array_equal(predicted.sum(axis=0), labels.sum(axis=0))
    tied = np.array([[0.9], [0.5], [0.5], [0.1]])
    assert (tied >= prevalence_cuts(tied, np.array([[1], [1], [1], [0]]))).sum() == 3
    assert (tied >= prevalence_cuts(tied, np.array([[1], [0], [0], [0]]))).sum() == 1


def test_a_row_below_every_cut_gets_the_class_nearest_to_its_cut_in_proportion():
    probabilities = np.array([[0.4, 0.09], [0.4, 0.01], [0.6, 0.2]])
    np.testing.assert_array_equal(decide(probabilities, [0.5, 0.1]), [[0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize("name", FITTED)
def test_no_prediction_is_empty_and_every_rule_survives_json(name):
    probabilities, labels = some_rows(2, 200, CLASSES)
    rule = fit_rule(name, probabilities, labels, CLASSES)
    assert Rule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    unsure = np.random.default_rng(3).random((500, CLASSES)) * 0.05
    of_nested = nested(name, unsure, unsure > 0.04, np.arange(500) % 3, CLASSES)
    for rows in (rule(unsure), rule(np.stack([unsure, unsure])), of_nested):
        assert rows.shape == (500, CLASSES)
        assert rows.any(axis=1).all()


@pytest.mark.parametrize("name", FITTED)
def test_a_folds_labels_never_touch_its_own_decisions(name):
    probabilities, labels = some_rows(4, 200, CLASSES)
    folds = np.arange(200) % 4
    changed = np.where((folds == 2)[:, None], 1 - labels, labels)
    before, after = (nested(name, probabilities, of, folds, CLASSES)[folds == 2] for of in (labels, changed))
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(
        nested(name, probabilities, changed, folds, CLASSES), nested(name, probabilities, labels, folds, CLASSES)
    )


def test_on_noise_nested_cuts_score_less_than_cuts_scored_on_what_they_were_fitted_on():
    fitted, honest = [], []
    for seed in range(20):
        _, labels = some_rows(seed, 120, 4)
        noise, folds = np.random.default_rng(100 + seed).random((120, 4)), np.arange(120) % 5
        fitted.append(macro_f1(labels, fit_rule("thresholds", noise, labels, 4)(noise), 4))
        honest.append(macro_f1(labels, nested("thresholds", noise, labels, folds, 4), 4))
    assert np.mean(fitted) > np.mean(honest) + 0.03


def test_what_does_not_go_together_is_refused_in_one_line():
    probabilities, labels = some_rows(5, 20, CLASSES)
    for name in ("argmax", "round", "majority", "probability"):
        with pytest.raises(UserError, match=f"decision '{name}' does not name several classes a row; use thresholds"):
            fit_rule(name, probabilities, labels, CLASSES)
    with pytest.raises(UserError, match="needs 3 probabilities a row"):
        fit_rule("global", probabilities[:, :2], labels, CLASSES)
    with pytest.raises(UserError, match="3 cuts decide 3 probabilities a row"):
        decide(probabilities[:, :2], [0.5] * 3)


def test_each_output_is_a_probability_of_its_own():
    assert outputs_of(MULTI, "multilabel", 28) == 28
    targets = targets_of(indicator(["0 2"], CLASSES), MULTI, "multilabel", CLASSES)
    assert targets.tolist() == [[1.0, 0.0, 1.0]]
    probabilities = activate(targets * 10, MULTI, "multilabel", CLASSES, {})
    assert probabilities.sum() > 2


# The whole way: a coloured square for each class


def competition(**fields) -> Competition:
    unused = lambda *_: None  # noqa: E731
    return Competition(
        **{
            "name": "squares",
            "title": "Squares",
            "task": "multilabel",
            "classes": ("red", "green", "blue"),
            "metric": "macro_f1",
            "takes": "csv",
            "submission": SubmissionFormat("Id", "Predicted", "labels"),
            "read_train": unused,
            "read_test": unused,
            "paper_split": unused,
            "make_sample": unused,
            "recipes": {},
            **fields,
        }
    )


def draw(folder: Path, n: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    _, rows = some_rows(seed, n, CLASSES)
    rows = rows[random.permutation(n)]
    for i, row in enumerate(rows):
        image = np.clip(random.normal(60, 15, (40, 44, 3)) + 120 * row, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    ids = [f"{folder.name}{i}" for i in range(n)]
    paths = [str(folder / f"{i}.png") for i in range(n)]
    return pd.DataFrame({"id": ids, "path": paths, "label": as_text(rows)})


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("squares")


@pytest.fixture(scope="module")
def tables(squares) -> tuple[pd.DataFrame, pd.DataFrame]:
    return draw(squares / "train", 72, 0), draw(squares / "test", 60, 1)


@pytest.fixture(scope="module")
def options(squares) -> Options:
    return Options(workers=0, device="cpu", cache=squares / "cache", runs=squares / "runs")


@pytest.fixture(scope="module")
def run(tables, options):
    recipe = MULTI.with_fields(epochs=10, tta="flip", checkpoints=2)
    return train(competition(), recipe, read_data(competition(), tables[0], recipe), options)


def test_a_network_learns_several_labels_and_is_scored_by_nested_cuts(run, tables):
    assert run.metrics["score"] > 0.8
    low, high = run.metrics["interval"]
    assert low <= run.metrics["score"] <= high
    table = pd.read_parquet(run.folder / "out_of_fold.parquet")
    assert list(table) == ["id", "fold", "label", "p0", "p1", "p2"]
    assert table.set_index("id")["label"].to_dict() == tables[0].set_index("id")["label"].to_dict()
    labels = label_array(table["label"], "multilabel", CLASSES)
    values = nested("thresholds", table[["p0", "p1", "p2"]].to_numpy(), labels, table["fold"], CLASSES)
    assert evaluate("macro_f1", labels, values, CLASSES) == run.metrics["score"]
    assert len(run.metrics["rule"]["cuts"]) == CLASSES


def test_its_submission_is_scored_by_the_practice_leaderboard(run, tables, options, squares):
    asked = competition()
    test = tables[1]
    pd.DataFrame({"Id": test["id"], "Predicted": "0"}).to_csv(squares / "sample_submission.csv", index=False)
    test[["id", "label"]].to_csv(squares / "solution.csv", index=False)
    ids, members = members_of(predict_run(asked, run, test[["id", "path"]], options))
    write(squares / "s.csv", ids, Rule.from_dict(run.metrics["rule"])(members.mean(0)), asked, squares)
    score = lambda labels, values: macro_f1(labels, values, CLASSES)  # noqa: E731
    board = PracticeCompetition("squares", "Squares", asked, squares, squares / "solution.csv", score)
    assert min(board.scores(squares / "s.csv")) > 0.6
    perfect = test.rename(columns={"id": "Id", "label": "Predicted"})[["Id", "Predicted"]]
    perfect.to_csv(squares / "perfect.csv", index=False)
    assert board.scores(squares / "perfect.csv") == (1.0, 1.0)


def test_runs_with_several_labels_are_blended(run, tables, options):
    recipe = MULTI.with_fields(loss="focal", decision="global", epochs=2, seed=0)
    other = train(competition(), recipe, read_data(competition(), tables[0], recipe), options)
    mixed = blend_runs(competition(), [run, other], "mean", [], options.runs)
    assert 0 < mixed.metrics["score"] <= 1
    assert mixed.metrics["rule"]["name"] == "thresholds"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loss": "cross_entropy"}, "loss 'cross_entropy' names one class a row"),
        ({"decision": "argmax"}, "decision 'argmax' does not name several classes a row"),
        ({"decision": "probability"}, "macro_f1 wants a class"),
        ({"split": "all"}, "split 'all' holds out none"),
        ({"channels": 4}, "images of squares have 3 channels, not 4"),
    ],
)
def test_a_recipe_that_does_not_answer_the_task_is_refused(tables, options, fields, said):
    recipe = MULTI.with_fields(**fields)
    with pytest.raises(UserError, match=said):
        train(competition(), recipe, read_data(competition(), tables[0], recipe), options)
