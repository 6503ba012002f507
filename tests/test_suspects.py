"""Suspicious labels: those that held-out predictions speak against."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from common.errors import UserError
from common.files import write_json
from common.labels import indicator
from common.predict import from_table, to_table
from common.run import Run
from common.suspects import suspicion, suspicious_rows
from competitions import load


def finished_run(folder, outputs, labels, rule: dict, **about) -> Run:
    """A finished run with these out-of-fold predictions."""
    folder.mkdir()
    table = to_table([f"image-{i:04}" for i in range(len(labels))], outputs, fold=0, label=labels)
    table.to_parquet(folder / "out_of_fold.parquet", index=False)
    write_json(folder / "metrics.json", {"rule": rule})
    write_json(folder / "run.json", about)
    return Run(folder)


def test_a_class_is_suspicious_by_what_its_probability_lacks():
    outputs = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(suspicion(outputs, [0, 2, 2], "multiclass", 3), [0.3, 0.9, 0])


def test_a_binary_label_and_a_grade_are_suspicious_by_their_distance():
    np.testing.assert_allclose(suspicion([0.9, 0.9, 0.2], [1, 0, 0], "binary", 2), [0.1, 0.9, 0.2])
    np.testing.assert_allclose(suspicion([2.5, 4.2, 0.0], [2, 4, 4], "ordinal", 5), [0.5, 0.2, 4])


def test_of_several_classes_a_rare_one_that_is_always_doubted_makes_nobody_a_suspect():
    labels = np.zeros((100, 2), dtype=int)
    labels[:, 0], labels[:4, 1] = np.arange(100) % 2, 1
    probabilities = np.where(labels == 1, 0.95, 0.05)
    probabilities[:, 1] = 0.1
    labels[7, 0] = 0
    assert probabilities[7, 0] == 0.95
    order = np.argsort(-suspicion(probabilities, labels, "multilabel", 2))
    assert order[0] == 7
    assert suspicion(probabilities, labels, "multilabel", 2)[:4].max() < 0.05


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(UserError, match="not judged by outputs of shape"):
        suspicion(np.zeros(5), np.zeros(5, dtype=int), "multiclass", 3)


def test_nine_tenths_of_flipped_labels_stand_in_the_worst_twentieth():
    images, truth = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    flipped = random.choice(len(truth), len(truth) // 20, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + random.integers(1, 10, len(flipped))) % 10
    model = KNeighborsClassifier(20, weights="distance")
    outputs = cross_val_predict(model, images, labels, cv=5, method="predict_proba")
    worst = np.argsort(-suspicion(outputs, labels, "multiclass", 10))[: len(flipped)]
    assert np.isin(flipped, worst).mean() >= 0.9


def test_the_list_of_a_run_is_the_worst_share_with_what_it_says(tmp_path):
    labels = np.arange(200) % 5
    outputs = labels + np.random.default_rng(0).normal(0, 0.2, 200)
    outputs[30] = 4.0
    rule = {"name": "thresholds", "classes": 5, "cuts": [0.5, 1.5, 2.5, 3.5]}
    table = suspicious_rows(finished_run(tmp_path / "run", outputs, labels, rule), load("aptos"), 0.05)
    assert len(table) == 10
    assert table["suspicion"].is_monotonic_decreasing
    assert list(table.columns[:4]) == ["id", "label", "predicted", "suspicion"]
    assert table.loc[0, ["id", "label", "predicted", "suspicion"]].tolist() == ["image-0030", 0, 4, 4.0]
    np.testing.assert_array_equal(from_table(table)[:1], [4.0])


def test_the_list_of_a_run_names_several_classes_as_the_table_does(tmp_path):
    labels = ["0", "3 16", "3"] * 10
    outputs = np.where(indicator(labels, 28) == 1, 0.9, 0.1)
    outputs[4] = 0.1
    outputs[4, [0, 1]] = 0.9
    rule = {"name": "global", "classes": 28, "cuts": [0.5] * 28}
    table = suspicious_rows(finished_run(tmp_path / "run", outputs, labels, rule), load("hpa"), 0.01)
    assert table[["id", "label", "predicted"]].to_numpy().tolist() == [["image-0004", "3 16", "0 1"]]


def test_a_run_without_out_of_fold_predictions_and_one_of_ranks_are_refused(tmp_path):
    rule = {"name": "probability", "classes": 2, "cuts": []}
    ranks = finished_run(tmp_path / "ranks", np.full(4, 0.5), [0, 1, 0, 1], rule, blend={"how": "rank"})
    with pytest.raises(UserError, match="run ranks blends ranks"):
        suspicious_rows(ranks, load("melanoma"), 0.1)
    (ranks.folder / "out_of_fold.parquet").unlink()
    with pytest.raises(UserError, match="run ranks has no out-of-fold predictions"):
        suspicious_rows(ranks, load("melanoma"), 0.1)
