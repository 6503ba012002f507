"""Interventions in training: what is shown how often, what beside the image counts, whose labels are believed."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from common.data import read_data
from common.ensemble import blend_runs
from common.errors import UserError
from common.feed import Feed
from common.models.build import build
from common.options import Options
from common.outputs import EMBEDDING, auxiliary_targets, targets_of_predictions
from common.predict import from_table, predict_test
from common.recipe import Recipe
from common.rows import training_data
from common.train import session as session_module
from common.train import train
from common.train.feeds import balancing
from common.train.gallery import identities
from common.train.objective import objective
from common.train.session import Session
from competitions import load
from tests.small_data import RECIPE, write_small_aptos

APTOS = load("aptos")


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


def options(tmp_path: Path) -> Options:
    return Options(workers=0, device="cpu", cache=tmp_path / "cache", runs=tmp_path / "runs")


def data_of(raw: Path, recipe: Recipe, opts: Options, competition=APTOS):
    test = competition.read_test(raw)
    return training_data(competition, competition.read_train(raw), recipe, opts, test)


def run_recipe(raw: Path, recipe: Recipe, opts: Options, competition=APTOS):
    return train(competition, recipe, data_of(raw, recipe, opts, competition), opts)


def out_of_fold(run) -> pd.DataFrame:
    return pd.read_parquet(run.folder / "out_of_fold.parquet")


# What is shown how often


def epoch_rows(weights, n: int = 100, epoch: int = 0) -> np.ndarray:
    cache = np.zeros((n, 8, 8, 3), np.uint8)
    with Feed(cache, np.arange(n), 8, lambda image, seed: image, 10, 0, workers=0, weights=weights) as feed:
        return np.concatenate([rows.numpy() for _, rows in feed.epoch(epoch)])


def test_balanced_sampling_shows_every_class_equally_often():
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    shown = labels[epoch_rows(balancing(labels, 1.0))]
    assert len(shown) == 100
    assert np.abs(np.bincount(shown) - 100 / 3).max() <= 1


def test_oversampling_lies_between_the_classes_own_shares_and_equal_ones():
    labels = np.repeat([0, 1], [90, 10])
    counts = [np.bincount(labels[epoch_rows(balancing(labels, share))])[1] for share in (0.01, 0.5, 1.0)]
    assert counts[0] in (10, 11)
    assert counts[1] == pytest.approx(25, abs=1)  # 10 ** 0.5 : 90 ** 0.5 is 1 : 3
    assert counts[2] == 50


def test_equal_weights_show_each_row_once():
    assert sorted(epoch_rows(np.ones(100))) == list(range(100))


def test_a_row_that_comes_twice_in_an_epoch_is_varied_twice():
    seen = []
    cache, weights = np.zeros((4, 8, 8, 3), np.uint8), np.array([1e-9, 1e-9, 1e-9, 1.0])
    with Feed(cache, np.arange(4), 8, lambda image, seed: seen.append(seed) or image, 4, 0, 0, weights=weights) as feed:
        ((_, rows),) = feed.epoch(0)
    assert set(rows.tolist()) == {3}
    assert len(set(seen)) == 4


def test_a_row_of_several_classes_counts_for_its_rarest():
    rows = np.array([[1, 0], [1, 0], [1, 0], [1, 1]])
    np.testing.assert_allclose(balancing(rows, 1.0), [1 / 3, 1 / 3, 1 / 3, 1])


def test_a_run_with_balanced_classes_trains(raw, tmp_path):
    assert run_recipe(raw, RECIPE.with_fields(class_balance=1.0, epochs=1), options(tmp_path)).finished


# What is known beside the image


def told_by_metadata(value) -> np.ndarray:
    """Metadata that give the grade away, for images that do not."""
    return np.eye(5, dtype=np.float32)[[int(name, 16) % 5 for name in value["id"]]]


def test_metadata_are_learnt_from_beside_the_image(raw, tmp_path):
    knowing = replace(APTOS, read_metadata=told_by_metadata)
    recipe = RECIPE.with_fields(metadata=True, epochs=10, learning_rate=1e-2)
    run = run_recipe(raw, recipe, options(tmp_path), knowing)
    assert run.metrics["score"] > 0.9
    predicted = predict_test(knowing, run, knowing.read_test(raw), options(tmp_path))
    grades = from_table(predicted[predicted["member"] == 0]).argmax(1)
    assert (grades == [int(name, 16) % 5 for name in knowing.read_test(raw)["id"]]).mean() > 0.8


def test_metadata_that_a_competition_does_not_have_are_refused(raw, tmp_path):
    with pytest.raises(UserError, match="knows nothing beside its images"):
        run_recipe(raw, RECIPE.with_fields(metadata=True), options(tmp_path))


def test_an_unknown_auxiliary_class_adds_nothing_to_the_loss():
    competition = replace(APTOS, auxiliary_classes=("a", "b", "c"))
    recipe = RECIPE.with_fields(auxiliary=0.5)
    network = build(recipe, 8)
    answer = torch.randn(4, 8)
    targets = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 3]), 5).float()
    main = torch.nn.functional.cross_entropy(answer[:, :5], targets)
    loss = objective(network, recipe, competition)
    nothing = auxiliary_targets(np.full(4, -1), 3)
    assert loss(answer, torch.cat((targets, nothing), 1)) == pytest.approx(main.item())
    known = auxiliary_targets(np.array([0, -1, -1, -1]), 3)
    beside = torch.nn.functional.cross_entropy(answer[:1, 5:], torch.tensor([0])) / 4
    assert loss(answer, torch.cat((targets, known), 1)) == pytest.approx((main + 0.5 * beside).item(), abs=1e-6)


def test_an_auxiliary_target_is_trained_on_and_left_out_of_the_predictions(raw, tmp_path):
    competition = replace(
        APTOS, auxiliary_classes=("even", "odd"), read_auxiliary=lambda table: np.arange(len(table)) % 2
    )
    run = run_recipe(raw, RECIPE.with_fields(auxiliary=0.3, epochs=1), options(tmp_path), competition)
    assert [name for name in out_of_fold(run) if name.startswith("p")] == ["p0", "p1", "p2", "p3", "p4"]
    state = load_file(next(run.folder.glob("fold-0/weights-*.safetensors")))
    assert max(value.shape[0] for name, value in state.items() if name == "fc.bias") == 7


# Pseudo-labels


@pytest.fixture(scope="module")
def teacher_world(raw, tmp_path_factory):
    opts = options(tmp_path_factory.mktemp("teacher"))
    return opts, run_recipe(raw, RECIPE, opts)


def test_a_fold_is_taught_by_the_teachers_networks_of_that_fold_alone(raw, teacher_world):
    opts, teacher = teacher_world
    data = data_of(raw, RECIPE.with_fields(pseudo=teacher.id), opts)
    predicted = predict_test(APTOS, teacher, APTOS.read_test(raw), opts)
    assert [soft.fold for soft in data.soft] == [0, 1]
    for soft in data.soft:
        of_fold = from_table(predicted[predicted["fold"] == soft.fold])
        np.testing.assert_array_equal(soft.predictions, of_fold)
    assert not np.allclose(data.soft[0].predictions, data.soft[1].predictions)


def test_pseudo_labels_never_touch_validation_rows(raw, teacher_world):
    opts, teacher = teacher_world
    recipe = RECIPE.with_fields(pseudo=teacher.id, epochs=1)
    data = data_of(raw, recipe, opts)
    test_ids = set(APTOS.read_test(raw)["id"])
    run = train(APTOS, recipe, data, opts)
    assert set(out_of_fold(run)["id"]) == set(APTOS.read_train(raw)["id"])
    session = Session(APTOS, recipe, data, opts, run)
    plain = data_of(raw, RECIPE, opts)
    for fold in (0, 1):
        ids = data.table["id"].to_numpy()
        assert test_ids <= set(ids[data.train_rows(fold)])
        assert not test_ids & set(ids[data.valid_rows(fold)])
        targets = session.targets(fold)
        labels = torch.nn.functional.one_hot(torch.tensor(plain.table["label"].to_numpy()), 5).float()
        assert torch.equal(targets[: len(labels)], labels)
        torch.testing.assert_close(targets[len(labels) :], torch.from_numpy(data.soft[fold].predictions))


def test_a_teacher_with_other_folds_is_refused(raw, teacher_world):
    opts, teacher = teacher_world
    with pytest.raises(UserError, match="did not hold out the same images in fold 0"):
        data_of(raw, RECIPE.with_fields(pseudo=teacher.id, seed=1), opts)
    with pytest.raises(UserError, match="no run 'nobody'"):
        data_of(raw, RECIPE.with_fields(pseudo="nobody"), opts)


def test_a_teacher_or_judge_of_other_data_is_refused(raw, teacher_world, tmp_path):
    opts, teacher = teacher_world
    other = write_small_aptos(tmp_path / "aptos")
    table = pd.read_csv(other / "train.csv")
    table["diagnosis"] = (table["diagnosis"] + 1) % 5
    table.to_csv(other / "train.csv", index=False)
    for field in ("pseudo", "clean"):
        with pytest.raises(UserError, match=f"run {teacher.id} was trained on other data than this"):
            data_of(other, RECIPE.with_fields(**{field: teacher.id}), opts)


def test_a_test_image_that_is_a_training_image_takes_no_pseudo_label(raw, teacher_world):
    opts, teacher = teacher_world
    train_table = APTOS.read_train(raw)
    test = pd.concat([APTOS.read_test(raw), train_table.loc[:1, ["id", "path"]]], ignore_index=True)
    with pytest.raises(UserError, match="test images are training images too: 000000000000"):
        training_data(APTOS, train_table, RECIPE.with_fields(pseudo=teacher.id), opts, test)


def test_how_often_a_test_image_is_shown_is_for_the_networks_of_the_fold_to_say(raw, teacher_world):
    opts, teacher = teacher_world
    recipe = RECIPE.with_fields(pseudo=teacher.id, epochs=1, class_balance=1.0)
    data = data_of(raw, recipe, opts)
    session = Session(APTOS, recipe, data, opts, train(APTOS, recipe, data, opts))
    for fold in (0, 1):
        rows = data.train_rows(fold)
        labels = data.table["label"].to_numpy().copy()
        labels[-12:] = data.soft[fold].predictions.argmax(1)
        with session.training_feed(fold, rows) as feed:
            np.testing.assert_allclose(feed.weights, balancing(labels[rows], 1.0))


def test_a_blend_teaches_fold_by_fold_too(raw, teacher_world):
    opts, teacher = teacher_world
    other = run_recipe(raw, RECIPE.with_fields(learning_rate=1e-3), opts)
    blend = blend_runs(APTOS, [teacher, other], "mean", [], opts.runs)
    data = data_of(raw, RECIPE.with_fields(pseudo=blend.id), opts)
    predicted = predict_test(APTOS, other, APTOS.read_test(raw), opts)
    alone = data_of(raw, RECIPE.with_fields(pseudo=teacher.id), opts).soft[0].predictions
    of_other = from_table(predicted[predicted["fold"] == 0])
    np.testing.assert_allclose(data.soft[0].predictions, (alone + of_other) / 2, atol=1e-6)


def test_predictions_of_any_kind_become_soft_targets_of_any_loss():
    grades, classes = np.array([1.25, 4.2], np.float32), np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 1]], np.float32)
    entropy, regression = RECIPE, RECIPE.with_fields(loss="smooth_l1", decision="round")
    shared = targets_of_predictions(grades, entropy, "ordinal", 5)
    torch.testing.assert_close(shared, torch.tensor([[0, 0.75, 0.25, 0, 0], [0, 0, 0, 0, 1.0]]))
    torch.testing.assert_close(targets_of_predictions(grades, regression, "ordinal", 5), torch.tensor([[1.25], [4.2]]))
    torch.testing.assert_close(targets_of_predictions(classes, regression, "ordinal", 5), torch.tensor([[0.5], [4.0]]))
    positive = np.array([0.2], np.float32)
    two = targets_of_predictions(positive, entropy, "binary", 2)
    torch.testing.assert_close(two, torch.tensor([[0.8, 0.2]]))
    one = targets_of_predictions(positive, RECIPE.with_fields(loss="bce"), "binary", 2)
    torch.testing.assert_close(one, torch.tensor([[0.2]]))


# Label cleaning


def test_suspicious_labels_are_not_trained_on_and_still_validated(raw, teacher_world):
    opts, judge = teacher_world
    recipe = RECIPE.with_fields(clean=judge.id, suspect_share=0.1, epochs=1)
    data = data_of(raw, recipe, opts)
    suspects = data.table.loc[data.table["distrusted"], "id"]
    assert len(suspects) == 6
    for fold in (0, 1):
        assert not set(suspects) & set(data.table["id"].to_numpy()[data.train_rows(fold)])
    assert train(APTOS, recipe, data, opts).metrics["n"] == 60


def test_softened_labels_are_half_the_given_and_half_the_predicted(raw, teacher_world):
    opts, judge = teacher_world
    recipe = RECIPE.with_fields(clean=judge.id, suspects="soften", suspect_share=0.1, epochs=1)
    data = data_of(raw, recipe, opts)
    run = train(APTOS, recipe, data, opts)
    targets = Session(APTOS, recipe, data, opts, run).targets(0)
    said = out_of_fold(judge).set_index("id")
    softened = 0
    for row, (name, label) in enumerate(zip(data.table["id"], data.table["label"], strict=True)):
        given = np.eye(5)[label]
        if name in data.soft[0].ids:
            given = (given + said.loc[name, [f"p{k}" for k in range(5)]].to_numpy(dtype=float)) / 2
            softened += 1
        np.testing.assert_allclose(targets[row], given, atol=1e-6)
    assert softened == 6


# Averaged weights


def test_averaged_weights_lie_in_the_middle_of_the_best_epochs(raw, tmp_path):
    each = run_recipe(raw, RECIPE.with_fields(checkpoints=2), options(tmp_path))
    middle = run_recipe(raw, RECIPE.with_fields(checkpoints=2, average="weights"), options(tmp_path))
    for fold in ("fold-0", "fold-1"):
        one, two = (load_file(file) for file in sorted((each.folder / fold).glob("weights-*.safetensors")))
        (file,) = (middle.folder / fold).glob("weights-*.safetensors")
        averaged = load_file(file)
        for name in ("conv1.weight", "fc.weight", "fc.bias"):
            if name in averaged:
                torch.testing.assert_close(averaged[name], (one[name] + two[name]) / 2)
        statistics = [name for name in averaged if name.endswith("running_mean")]
        assert statistics
        assert not all(torch.allclose(averaged[name], (one[name] + two[name]) / 2) for name in statistics)


def test_averaged_weights_predict_once_a_fold(raw, tmp_path):
    run = run_recipe(raw, RECIPE.with_fields(checkpoints=2, average="weights"), options(tmp_path))
    predicted = predict_test(APTOS, run, APTOS.read_test(raw), options(tmp_path))
    assert predicted["member"].nunique() == 2
    with pytest.raises(UserError, match="needs two checkpoints or more"):
        RECIPE.with_fields(average="weights")


def test_averaged_weights_do_not_hang_on_what_was_drawn_before(raw, tmp_path, monkeypatch):
    recipe = RECIPE.with_fields(checkpoints=2, average="weights", epochs=2, drop_path=0.5, only_folds=(0,))
    one = run_recipe(raw, recipe, options(tmp_path / "one"))
    averaged = session_module.average_weights

    def after_other_draws(*parts):
        torch.rand(17)  # as after a resumed training, which has not drawn what the first one drew
        return averaged(*parts)

    monkeypatch.setattr(session_module, "average_weights", after_other_draws)
    two = run_recipe(raw, recipe, options(tmp_path / "two"))
    pd.testing.assert_frame_equal(out_of_fold(one), out_of_fold(two), check_exact=True)


# Metric learning


def test_arcface_gives_the_labels_of_the_nearest_training_images(raw, tmp_path):
    recipe = RECIPE.with_fields(loss="arcface", epochs=12, learning_rate=1e-2)
    run = run_recipe(raw, recipe, options(tmp_path))
    assert run.metrics["score"] > 0.4
    state = load_file(next(run.folder.glob("fold-0/weights-*.safetensors")))
    assert state["gallery.embeddings"].shape == (30, EMBEDDING)
    assert state["gallery.labels"].sum(1).eq(1).all()
    predicted = from_table(predict_test(APTOS, run, APTOS.read_test(raw), options(tmp_path)))
    np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-2)


def test_an_identity_is_the_known_one_or_else_the_set_of_labels():
    rows = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]])
    who = identities(rows, np.array([None, float("nan"), "10005", "10005", ""], dtype=object))
    assert who[0] == who[1] == who[4]
    assert who[2] == who[3] != who[0]


# External data


def test_external_copies_of_training_and_test_images_are_left_out(raw, tmp_path):
    random = np.random.default_rng(5)
    external = tmp_path / "2015"
    external.mkdir()

    def scene() -> np.ndarray:
        coarse = random.integers(0, 255, (22, 26, 3), dtype=np.uint8)
        return cv2.resize(coarse, (104, 88), interpolation=cv2.INTER_CUBIC)

    folder = tmp_path / "aptos"
    write_small_aptos(folder)
    train_id, test_id = APTOS.read_train(folder)["id"][3], APTOS.read_test(folder)["id"][2]
    pictures = {"of_train": scene(), "of_test": scene(), "other": scene()}
    cv2.imwrite(str(folder / "train_images" / f"{train_id}.png"), pictures["of_train"])
    cv2.imwrite(str(folder / "test_images" / f"{test_id}.png"), pictures["of_test"])
    for name, picture in pictures.items():
        cv2.imwrite(str(external / f"{name}.jpeg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    pd.DataFrame({"image": list(pictures), "level": 1}).to_csv(external / "trainLabels.csv", index=False)
    recipe = RECIPE.with_fields(external=str(external), epochs=1)
    run = run_recipe(folder, recipe, options(tmp_path))
    assert run.about["copies"] == ["of_train", "of_test"]
    session = Session(APTOS, recipe, data_of(folder, recipe, options(tmp_path)), options(tmp_path), run)
    trained = set(session.data.table["id"].to_numpy()[session.data.train_rows(0)])
    assert "other" in trained
    assert not {"of_train", "of_test"} & trained


def test_external_rows_with_the_id_of_a_test_image_are_left_out(raw, tmp_path):
    test = APTOS.read_test(raw)
    external = tmp_path / "2015"
    external.mkdir()
    for name in (test["id"][0], "new"):
        cv2.imwrite(str(external / f"{name}.png"), np.full((44, 52, 3), 90, np.uint8))
    pd.DataFrame({"image": [test["id"][0], "new"], "level": 2}).to_csv(external / "trainLabels.csv", index=False)
    data = read_data(APTOS, APTOS.read_train(raw), RECIPE.with_fields(external=str(external)), test)
    assert data.table.loc[data.table["source"] == "external", "id"].tolist() == ["new"]
