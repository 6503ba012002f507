"""Linear probes: on cached features they are what training the classifier alone gives, and fine-tuning starts there."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from common.augment import evaluation_transform
from common.data import read_data
from common.embed import embed_rows, embedded, features_of
from common.errors import UserError
from common.feed import Feed
from common.images import read_rgb
from common.models.build import build
from common.outputs import activate, targets_of
from common.recipe import Recipe
from common.run import all_runs
from common.train import train
from common.train.fold import Fold
from common.train.losses import loss_function
from common.train.probe import best_head, grid, train_head
from competitions.__main__ import run
from tests.small_data import RECIPE, fields_as_words, write_small_aptos
from tests.test_train import APTOS, Stopped, assert_same_run, options, run_recipe, stop_after

LP_FT = RECIPE.with_fields(
    epochs=6, probe_share=0.34, probe_learning_rate=(0.03, 1e-5), probe_weight_decay=(0.0, 0.1), schedule="cosine"
)


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


def pictures(n: int = 40) -> tuple[np.ndarray, torch.Tensor]:
    """uint8 (n, 32, 32, 3) whose brightness is the label, and one-hot targets (n, 4)."""
    labels, random = np.arange(n) % 4, np.random.default_rng(0)
    cache = random.normal(40 + 50 * labels[:, None, None, None], 20, (n, 32, 32, 3)).clip(0, 255).astype(np.uint8)
    return cache, targets_of(labels, RECIPE, "multiclass", 4)


def feed_of(cache: np.ndarray, shuffle: bool = True) -> Feed:
    n = len(cache)
    return Feed(cache, np.arange(n), 32, evaluation_transform(32), batch_size=8, seed=3, workers=0, shuffle=shuffle)


def freeze(network: torch.nn.Module) -> None:
    """Everything below the classifier: weights, batch statistics and dropout."""
    for value in network.parameters():
        value.requires_grad_(False)
    network.classifier.requires_grad_(True)
    network.train = lambda mode=True: torch.nn.Module.train(network, False)


@pytest.mark.parametrize("fields", [{}, {"optimizer": "sgd", "schedule": "cosine", "clip_gradient": 0.5}])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_a_probe_on_cached_features_is_the_classifier_trained_in_the_loop(tmp_path, backbone, fields):
    recipe = Recipe(
        **{"backbone": backbone, "weights": "none", "input_size": 32, "epochs": 4, "batch_size": 8, "augment": "none"},
        **{"drop_path": 0.1, "learning_rate": 0.02, "weight_decay": 0.01, "warmup_epochs": 1, **fields},
    )
    cache, targets = pictures()
    torch.manual_seed(0)
    network = build(recipe, 4)
    loss, act = loss_function(recipe), partial(activate, recipe=recipe, task="multiclass", classes=4)
    features = embed_rows(network, feed_of(cache, shuffle=False), "embed")
    head = train_head(network.classifier, features, targets, feed_of(cache), recipe, loss)
    before = network.classifier.weight.clone()
    freeze(network)
    fold = Fold(network, recipe, feed_of(cache), targets, tmp_path, torch.device("cpu"), loss, act)
    fold.run()
    torch.testing.assert_close(head.weight, network.classifier.weight, atol=1e-4, rtol=0)
    torch.testing.assert_close(head.bias, network.classifier.bias, atol=1e-4, rtol=0)
    assert (head.weight - before).abs().max() > 0.01


def test_of_a_grid_the_best_on_the_held_out_rows_is_kept():
    recipe = LP_FT.with_fields(probe_learning_rate=(1e-6, 0.03, 1e30))
    cache, targets = pictures()
    features = torch.from_numpy(cache.mean((1, 2)) / 100).float()
    head = torch.nn.Linear(3, 4)

    def score(outputs: torch.Tensor) -> float:
        return (outputs.argmax(1) == targets.argmax(1)).float().mean().item()

    best, table = best_head(head, features, targets, feed_of(cache), grid(recipe, 20), loss_function(recipe), score)
    assert len(table) == 6
    with torch.no_grad():
        assert score(best(features)) == table["score"].max() > 0.4
    assert (table.loc[table["learning_rate"] == 1e-6, "score"] < table["score"].max()).all()


def test_where_every_probe_diverges_the_rates_are_named():
    cache, targets = pictures()
    recipe = LP_FT.with_fields(optimizer="sgd", probe_learning_rate=(1e38,), clip_gradient=0)
    features = torch.full((40, 3), 1e30)
    with pytest.raises(UserError, match=r"lower --probe-learning-rate \(now 1e\+38"):
        best_head(
            torch.nn.Linear(3, 4), features, targets, feed_of(cache), grid(recipe, 3), loss_function(recipe), None
        )


def test_fine_tuning_starts_from_the_best_probe_and_takes_the_epochs_that_are_left(raw, tmp_path):
    run = run_recipe(raw, LP_FT, options(tmp_path))
    for fold in (0, 1):
        folder = run.folder / f"fold-{fold}"
        table = pd.read_csv(folder / "probe.csv")
        assert len(table) == 4
        assert len(pd.read_csv(folder / "curve.csv")) == 4, "two of six epochs were the probe's"
        assert load_file(folder / "probe.safetensors")["weight"].shape[0] == 5
    hardly = LP_FT.with_fields(learning_rate=1e-12)
    run = run_recipe(raw, hardly, options(tmp_path))
    (file,) = run.folder.glob("fold-0/weights-*.safetensors")
    tuned, probe = load_file(file), load_file(run.folder / "fold-0" / "probe.safetensors")
    torch.testing.assert_close(tuned["fc.weight"], probe["weight"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", [0, 5])
def test_a_run_with_a_probe_that_is_stopped_continues_to_the_same_bits(raw, tmp_path, monkeypatch, steps):
    recipe = LP_FT.with_fields(ema=0.9, layer_decay=0.8, head_init="prior", only_folds=(0,))
    whole = run_recipe(raw, recipe, options(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Stopped):
            run_recipe(raw, recipe, options(tmp_path / "stopped", state_every=0))
    if not steps:  # killed between the probe and the training, or before the probe was written
        (found,) = all_runs(tmp_path / "stopped" / "runs", "aptos")
        (found.folder / "fold-0" / "probe.safetensors").unlink()
    assert_same_run(whole, run_recipe(raw, recipe, options(tmp_path / "stopped")))


def test_a_regression_that_starts_from_the_prior_answers_with_the_mean_grade_at_first(raw, tmp_path):
    recipe = RECIPE.with_fields(
        **{"loss": "smooth_l1", "decision": "round", "head_init": "prior", "learning_rate": 1e-12, "epochs": 1}
    )
    data = read_data(APTOS, APTOS.read_train(raw), recipe)
    out_of_fold = pd.read_parquet(train(APTOS, recipe, data, options(tmp_path)).folder / "out_of_fold.parquet")
    for fold, rows in out_of_fold.groupby("fold"):
        mean = data.table["label"].to_numpy()[data.train_rows(fold)].mean()
        assert rows["output"].to_numpy() == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"probe_share": 0.01}, "leaves one part empty"),
        ({"probe_share": 0.3, "metadata": True}, "does not go with metadata"),
        ({"probe_share": 0.3, "split": "all", "probe_learning_rate": (0.1, 0.2)}, "held-out rows"),
        ({"probe_learning_rate": ()}, "probe_learning_rate"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"head_init": "prior", "loss": "arcface"}, "head_init 'prior'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_one_line(fields, message):
    with pytest.raises(UserError, match=message):
        Recipe(**fields)


# Features on disk


def test_features_are_written_once_beside_label_and_fold(raw, tmp_path, capsys):
    recipe, opts = RECIPE, options(tmp_path)
    data, test = read_data(APTOS, APTOS.read_train(raw), recipe), APTOS.read_test(raw)
    folder = embedded(APTOS, recipe, data.table, test, opts)
    assert "images/s" in capsys.readouterr().err
    table, of_test = (pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test"))
    assert list(table)[:4] == ["id", "label", "fold", "e0"]
    assert list(of_test)[:2] == ["id", "e0"]
    assert table[["id", "label", "fold"]].equals(data.table[["id", "label", "fold"]])
    assert features_of(table).dtype == np.float32
    assert len(of_test) == 12
    written = (folder / "train.parquet").stat().st_mtime_ns
    assert embedded(APTOS, recipe.with_fields(learning_rate=0.1), data.table, test, opts) == folder
    assert (folder / "train.parquet").stat().st_mtime_ns == written
    assert embedded(APTOS, recipe.with_fields(input_size=64), data.table, None, opts) != folder


def test_features_are_those_that_the_classifier_is_given(raw, tmp_path):
    data = read_data(APTOS, APTOS.read_train(raw), RECIPE)
    table = pd.read_parquet(embedded(APTOS, RECIPE, data.table, None, options(tmp_path)) / "train.parquet")
    torch.manual_seed(RECIPE.seed)
    network = build(RECIPE, 1).eval()
    image = evaluation_transform(32)(read_rgb(data.table["path"][0]), 0)
    with torch.inference_mode():
        inputs = network.normalize(torch.from_numpy(image).permute(2, 0, 1)[None])
        expected = network.backbone.forward_head(network.backbone.forward_features(inputs), pre_logits=True)[0]
    np.testing.assert_allclose(features_of(table)[0], expected, atol=0.05)


def test_the_verbs_embed_and_probe_print_where_and_what(raw, tmp_path, capsys):
    words = ["--data", str(raw), "--cache", str(tmp_path / "cache"), "--runs", str(tmp_path / "runs")]
    words += [*fields_as_words(LP_FT), "--workers", "0", "--device", "cpu"]
    assert run(["aptos", "embed", *words]) == 0
    assert str(tmp_path / "runs" / "aptos" / "embeddings") in capsys.readouterr().out
    assert run(["aptos", "probe", *words]) == 0
    (file,) = (tmp_path / "runs").rglob("probes.csv")
    table = pd.read_csv(file)
    assert len(table) == 4
    assert table["score"].is_monotonic_decreasing
    assert ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()
    assert "quadratic_weighted_kappa of linear probes" in capsys.readouterr().out
    assert run(["aptos", "probe", *words, "--split", "all", "--probe-share", "0"]) == 2
    assert "probe: split 'all' holds out no row" in capsys.readouterr().err
