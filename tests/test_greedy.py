"""Greedy ensemble selection: the right weights are found, and the reported gain is one that other images would see."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.blend import weighted_mean
from common.ensemble import answers, select_runs, selectable
from common.errors import UserError
from common.files import write_json
from common.greedy import climb, greedy_weights, select
from common.metrics import evaluate, roc_auc
from common.predict import from_table, to_table
from common.recipe import Recipe
from common.run import Run
from competitions import load
from competitions.__main__ import run as command
from tests.small_data import RECIPE

MELANOMA, APTOS = load("melanoma"), load("aptos")
PROBABILITY = RECIPE.with_fields(decision="probability")
THRESHOLDS = RECIPE.with_fields(decision="thresholds", loss="smooth_l1")


def write_run(
    root: Path, name: str, outputs: np.ndarray, labels: np.ndarray, recipe: Recipe, competition=MELANOMA, **columns
) -> Run:
    """A finished run with these out-of-fold outputs; what it scores is taken from them."""
    from common.train.score import score_out_of_fold

    run = Run(root / competition.name / name)
    table = to_table([f"{i:05}" for i in range(len(labels))], outputs, fold=np.arange(len(labels)) % 5, label=labels)
    table = table.assign(**columns)
    about = {"competition": competition.name, "recipe": recipe.to_dict(), "data": "d", "source": "s", "skipped": []}
    write_json(run.folder / "run.json", about | {"started": f"2026-01-01 {name}"})
    table.to_parquet(run.folder / "out_of_fold.parquet")
    scores = score_out_of_fold(competition, recipe, table)
    write_json(run.folder / "metrics.json", {"metric": competition.metric, **scores})
    return run


def complementary(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0/1 (n,), and outputs (4, n): two that err apart from each other, one that repeats the first with noise,
    one of noise alone. The best weights of the first two are equal."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    first, second, noise, nothing = random.normal(size=(4, n))
    return labels, np.stack([labels + first, labels + second, labels + first + 2 * noise, nothing])


def test_complementary_members_get_the_right_weights_and_the_others_none():
    labels, members = complementary(4000)
    weights = greedy_weights(members, lambda outputs: roc_auc(labels, outputs))
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights, [0.5, 0.5, 0, 0], atol=0.06)


def test_unequal_members_get_weights_in_proportion_to_what_they_know():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 8000)
    members = labels + random.normal(size=(3, 8000)) * np.array([[0.8], [1.6], [50.0]])
    first, second, nothing = greedy_weights(members, lambda outputs: roc_auc(labels, outputs))
    # the inverse of the variances is the best there is
    assert first / second == pytest.approx((1.6 / 0.8) ** 2, rel=0.4)
    assert nothing < 0.02


def test_in_a_large_library_bags_keep_what_is_good():
    labels, members = complementary(1500)
    noise = np.random.default_rng(2).normal(size=(12, 1500))
    weights = greedy_weights(np.concatenate([members, noise]), lambda outputs: roc_auc(labels, outputs))
    assert weights[:2].sum() > 0.6
    assert weights[4:].max() < 0.1
    assert (weights[:2] > weights[2:].max()).all()


def test_the_search_starts_with_the_best_few_and_may_choose_one_again():
    target = np.array([3, 1, 0])

    def score_of(counts):
        return -np.abs(np.array(counts) / sum(counts) - target / target.sum()).sum()

    assert climb(score_of, [0, 1, 2], 3) == (3, 1, 0)
    assert climb(lambda counts: 0.0, [0, 1, 2], 3) == (1, 0, 0), "of equals, the smallest"


def test_on_pure_noise_the_nested_gain_is_none_and_the_other_flatters():
    nested_gains, flattering = [], []
    for seed in range(12):
        random = np.random.default_rng(seed)
        labels, members = random.integers(0, 2, 300), random.random((4, 300))
        chosen = select(members, labels, np.arange(300) % 5, "roc_auc", "probability", 2)
        nested = roc_auc(labels, chosen.values)
        nested_gains.append(nested - roc_auc(labels, chosen.single))
        flattering.append(chosen.in_sample - nested)
    error = np.std(nested_gains) / np.sqrt(len(nested_gains))
    assert abs(np.mean(nested_gains)) < 3 * error
    assert np.mean(flattering) > max(0.03, 3 * abs(np.mean(nested_gains)))


def test_the_nested_score_is_what_fresh_rows_give():
    def draw(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        grades, shared = random.integers(0, 5, n), random.normal(0, 0.6, n)
        return grades, np.stack([grades + shared + random.normal(0, s, n) for s in (0.5, 0.5, 1.0, 1.5)])

    settings = ("quadratic_weighted_kappa", "thresholds", 5)
    nested, in_sample = [], []
    for seed in range(6):
        random = np.random.default_rng(seed)
        (grades, members), (fresh, fresh_members) = draw(random, 400), draw(random, 8000)
        chosen = select(members, grades, np.arange(400) % 5, *settings)
        truth = evaluate(settings[0], fresh, chosen.rule(weighted_mean(fresh_members, chosen.weights)), 5)
        nested.append(evaluate(settings[0], grades, chosen.values, 5) - truth)
        in_sample.append(chosen.in_sample - truth)
    assert np.mean(nested) == pytest.approx(0, abs=0.012)
    assert np.mean(in_sample) > np.mean(nested) + 0.01


def test_no_row_is_scored_by_weights_or_cuts_that_saw_its_label():
    random = np.random.default_rng(3)
    grades = np.repeat(np.arange(5), 40)
    members = grades + random.normal(size=(3, 200))
    folds = random.integers(0, 4, 200)
    settings = ("quadratic_weighted_kappa", "thresholds", 5)
    before = select(members, grades, folds, *settings)
    changed = np.where(folds == 2, 4 - grades, grades)
    after = select(members, changed, folds, *settings)
    inside = folds == 2
    np.testing.assert_array_equal(before.outputs[inside], after.outputs[inside])
    np.testing.assert_array_equal(before.values[inside], after.values[inside])
    assert (before.values[~inside] != after.values[~inside]).any()


def test_one_fold_is_cut_into_parts_that_keep_groups_whole(monkeypatch):
    labels, members = complementary(200)
    groups = np.arange(200) // 4
    seen = []
    monkeypatch.setattr("common.greedy.blended", lambda members, weights: seen.append(members.shape[1]) or members[0])
    select(members, labels, np.zeros(200), "roc_auc", "probability", 2, groups=groups)
    assert len(set(seen)) > 1, "the one fold was not cut"
    assert all(count % 4 == 0 for count in seen)


@pytest.mark.parametrize("how", ["mean", "rank"])
def test_the_chosen_blend_is_a_run_that_reports_what_it_is_worth(tmp_path, how):
    labels, members = complementary(600)
    members = 1 / (1 + np.exp(-members))
    runs = [write_run(tmp_path, f"run{i}", outputs, labels, PROBABILITY) for i, outputs in enumerate(members)]
    blend = select_runs(MELANOMA, runs, how, tmp_path)
    facts, metrics = blend.about["blend"], blend.metrics
    assert set(facts["of"]) >= {"run0", "run1"}
    assert "run3" not in facts["of"]
    assert facts["from"] == ["run0", "run1", "run2", "run3"]
    assert facts["how"] == how
    assert sum(facts["by"]) == pytest.approx(1)
    best = max(run.metrics["score"] for run in runs)
    assert metrics["best"]["score"] == best < metrics["score"] <= metrics["in_sample"]
    gain, low, high = metrics["gain"]
    assert 0 < low < gain < high
    table = pd.read_parquet(blend.folder / "out_of_fold.parquet")
    assert metrics["score"] == pytest.approx(roc_auc(table["label"], from_table(table)))
    ids, values = answers(blend, table.assign(member=0))
    assert list(ids) == list(table["id"])
    assert values.shape == (600,)


def test_members_are_aligned_by_id_and_their_decisions_nested(tmp_path):
    random = np.random.default_rng(4)
    grades = random.integers(0, 5, 400)
    noise = random.normal(size=(2, 400))
    runs = [write_run(tmp_path, f"run{i}", grades + noise[i], grades, THRESHOLDS, APTOS) for i in range(2)]
    file = runs[1].folder / "out_of_fold.parquet"
    pd.read_parquet(file).sample(frac=1, random_state=0).to_parquet(file)
    blend = select_runs(APTOS, runs, "mean", tmp_path)
    assert blend.metrics["score"] > blend.metrics["best"]["score"] + 0.03
    assert blend.metrics["rule"]["name"] == "thresholds"
    assert len(blend.metrics["rule"]["cuts"]) == 4
    assert blend.metrics["score"] < blend.metrics["in_sample"]


def test_groups_are_drawn_whole_in_the_interval_of_the_gain(tmp_path):
    labels, members = (np.repeat(part, 5, axis=-1) for part in complementary(120))
    groups = np.repeat([f"g{i}" for i in range(120)], 5)
    alone = [write_run(tmp_path / "a", f"r{i}", members[i], labels, PROBABILITY) for i in range(2)]
    whole = [write_run(tmp_path / "b", f"r{i}", members[i], labels, PROBABILITY, group=groups) for i in range(2)]
    width = [
        np.ptp(select_runs(MELANOMA, runs, "mean", tmp_path / name).metrics["gain"][1:])
        for runs, name in ((alone, "a"), (whole, "b"))
    ]
    assert width[1] > 1.5 * width[0]


def test_without_names_all_runs_that_fit_are_looked_at(tmp_path, capsys):
    labels, members = complementary(300)
    for i, outputs in enumerate(members[:3]):
        write_run(tmp_path, f"run{i}", outputs, labels, PROBABILITY)
    write_run(tmp_path, "part", members[0][:50], labels[:50], PROBABILITY)
    fitting, left_out = selectable(tmp_path, "melanoma")
    assert {run.id for run in fitting} == {"run0", "run1", "run2"}
    assert fitting[0].metrics["score"] == max(run.metrics["score"] for run in fitting)
    assert [run.id for run in left_out] == ["part"]
    assert command(["melanoma", "blend", "--how", "greedy-rank", "--runs", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("left out: run part")
    assert re.search(r"run blend-\w+ \(greedy-rank, \d of 3 runs\): roc_auc 0\.\d{4}", told)
    assert "which flatters" in told
    assert re.search(r"gain over the run that is best on the other folds: [+-]0\.\d{4} \(95% interval", told)
    fitting, _ = selectable(tmp_path, "melanoma")
    assert len(fitting) == 3, "a blend is not blended again"


def test_runs_on_different_data_are_left_for_the_user_to_choose(tmp_path):
    labels, members = complementary(100)
    write_run(tmp_path, "run0", members[0], labels, PROBABILITY)
    write_run(tmp_path, "run1", members[1], labels, PROBABILITY).update(source="other")
    with pytest.raises(UserError, match=r"2 data sets.*--of"):
        selectable(tmp_path, "melanoma")
    with pytest.raises(UserError, match="no finished run of aptos"):
        selectable(tmp_path, "aptos")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--how", "greedy", "--of", "run0"], "two runs or more"),
        (["--how", "greedy", "--of", "run0", "run1", "--by", "1", "2"], "--by"),
        (["--how", "greedy", "--of", "run0", "short"], "lacks the ids"),
        (["--how", "mean"], "two runs or more"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused_in_one_line(tmp_path, capsys, words, complaint):
    labels, members = complementary(100)
    for i, name in enumerate(("run0", "run1")):
        write_run(tmp_path, name, members[i], labels, PROBABILITY)
    write_run(tmp_path, "short", members[0][:60], labels[:60], PROBABILITY)
    assert command(["melanoma", "blend", *words, "--runs", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_classes_of_a_multilabel_task_are_chosen_by_their_own_metric():
    random = np.random.default_rng(5)
    labels = (random.random((200, 4)) < 0.3).astype(np.int8)
    labels[:, 0] |= ~labels.any(1)
    members = 1 / (1 + np.exp(-(labels * 2 - 1 + random.normal(size=(3, 200, 4)))))
    chosen = select(members, labels, np.arange(200) % 4, "macro_f1", "prevalence", 4)
    assert chosen.values.shape == (200, 4)
    single, blend = (evaluate("macro_f1", labels, values, 4) for values in (chosen.single, chosen.values))
    assert blend > single + 0.03


def test_metrics_of_a_chosen_blend_are_plain_json(tmp_path):
    labels, members = complementary(100)
    runs = [write_run(tmp_path, f"run{i}", members[i], labels, PROBABILITY) for i in range(2)]
    blend = select_runs(MELANOMA, runs, "mean", tmp_path)
    metrics = json.loads((blend.folder / "metrics.json").read_text())
    assert metrics == {**blend.metrics, "checksum": metrics["checksum"]}
    assert set(blend.metrics) == {"metric", "score", "interval", "n", "folds", "rule", "in_sample", "gain", "best"}
