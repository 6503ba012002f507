"""From runs to results, and from these to where a model stands: what transfers, what does not, what nobody can say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.command import run
from common.errors import UserError
from common.files import write_json
from common.options import Options
from common.recipe import PAPER, Recipe
from common.study import tables
from common.study.__main__ import main
from common.study.from_runs import NOT_MARKED, TEST, collect, deviations, name_of
from common.study.imagenet import known, read_top1
from common.study.measured import transfer as report
from common.study.results import read_rows_of_runs, read_scores
from common.study.tables import IMAGENET
from common.study.transfer import prediction, standings
from common.study.verdict import verdict
from common.sweep.grid import Job
from common.sweep.local import local_engine
from common.sweep.state import Task
from competitions import grids, load
from competitions.sources import in_folder
from competitions.tested import chosen
from competitions.transferring import TransferArguments, jobs_of, remember
from competitions.transferring import transfer as command
from tests.small_data import RECIPE, write_small_aptos

SIZES = tables.read("datasets")


# Runs as rows


def write_run(runs: Path, data_set: str, run_id: str, recipe: Recipe, score: float | None, **about) -> Path:
    """What a finished run leaves of itself, as far as it counts here."""
    folder = runs / data_set / run_id
    facts = {"competition": data_set, "recipe": recipe.to_dict(), "data": "d1", "source": "d1", "started": run_id}
    write_json(folder / "run.json", facts | {"mark": "", "rows": 900} | about)
    write_json(folder / "environment.json", {"device": "cpu", "packages": {"torch": "2.13.0"}})
    metric = load(data_set).metric
    interval = None if score is None else [score - 0.02, score + 0.02]
    write_json(folder / "metrics.json", {"metric": metric, "score": score, "interval": interval, "n": 200})
    return folder


def test_every_finished_run_is_a_row_that_the_study_reads(tmp_path):
    resnet, squeezenet = PAPER, PAPER.with_fields(backbone="squeezenet1_1", seed=1)
    write_run(tmp_path / "runs", "cct20", "a", resnet, 0.7)
    write_run(tmp_path / "runs", "cct20", "b", squeezenet, 0.6)
    write_run(tmp_path / "runs", "aptos", "c", resnet.with_fields(epochs=10, input_size=96), 0.9)
    assert run(main, ["collect", "--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "results.csv")]) == 0
    rows = read_rows_of_runs(tmp_path / "results.csv").set_index("run")
    assert rows.loc["a", ["dataset", "backbone", "score", "low", "high", IMAGENET]].tolist() == [
        *("cct20", "resnet50", 0.7),
        *map(pytest.approx, (0.68, 0.72, 0.761)),
    ]
    assert rows.loc["b", "seed"] == 1
    assert rows.loc["c", "deviations"] == "epochs=10 input_size=96"
    assert rows.loc["a", "deviations"] == ""
    scores = read_scores(tmp_path / "results.csv")
    assert scores.loc["resnet50", ["cct20", "aptos"]].tolist() == [0.7, 0.9]


def test_what_says_nothing_about_a_backbone_is_left_out_with_its_reason(tmp_path):
    write_run(tmp_path, "cct20", "kept", PAPER, 0.7)
    write_run(tmp_path, "cct20", "drawn", PAPER.with_fields(seed=1), 0.9, mark="sample data")
    write_run(tmp_path, "cct20", "old", PAPER.with_fields(seed=2), 0.9, mark=NOT_MARKED)
    write_run(tmp_path, "cct20", "random", PAPER.with_fields(weights="none"), 0.3)
    write_run(tmp_path, "cct20", "all", PAPER.with_fields(split="all"), None)
    write_run(tmp_path, "cct20", "blended", PAPER, 0.8, blend={"of": ["kept", "random"]})
    (write_run(tmp_path, "cct20", "begun", PAPER.with_fields(seed=3), 0.7) / "metrics.json").unlink()
    rows, left_out = collect(tmp_path)
    assert rows["run"].tolist() == ["kept"]
    assert left_out == {
        "sample data": 1,
        NOT_MARKED: 1,
        "from random weights": 1,
        "nothing was held out": 1,
        "a blend of several networks": 1,
        "not finished": 1,
    }
    everything, _ = collect(tmp_path, every=True)
    assert dict(zip(everything["run"], everything["mark"], strict=True)) == {
        "kept": "",
        "drawn": "sample data",
        "old": NOT_MARKED,
    }


def test_scores_of_two_kinds_are_never_ranked_with_each_other(tmp_path):
    write_run(tmp_path, "cct20", "part", PAPER, 0.99, source="other", rows=100)
    write_run(tmp_path, "cct20", "held-out", PAPER.with_fields(seed=1), 0.9)
    tested = write_run(tmp_path, "cct20", "tested", PAPER.with_fields(seed=2), 0.8)
    write_json(tested / TEST, {"metric": "accuracy", "score": 0.6, "interval": [0.5, 0.7], "n": 5000})
    rows, left_out = collect(tmp_path)
    assert rows[["run", "score", "scored_on", "scored"]].values.tolist() == [["tested", 0.6, "test", 5000]]
    assert left_out == {"on other data of a data set, such as a part": 1, "not scored on the test part": 1}


def test_a_repeated_run_counts_once_and_the_last(tmp_path):
    write_run(tmp_path, "aptos", "a", PAPER, 0.7)
    write_run(tmp_path, "aptos", "a-2", PAPER, 0.8)
    rows, left_out = collect(tmp_path)
    assert rows["run"].tolist() == ["a-2"]
    assert left_out == {"trained again later": 1}


def test_other_weights_have_a_name_and_an_accuracy_of_their_own(tmp_path):
    assert name_of(PAPER.with_fields(weights="w/distilled.pth")) == "resnet50:distilled"
    assert name_of(PAPER.with_fields(weights="w/resnet50.safetensors")) == "resnet50"
    write_run(tmp_path, "aptos", "a", PAPER.with_fields(weights="w/distilled.pth"), 0.9)
    assert np.isnan(collect(tmp_path)[0][IMAGENET][0])
    remember(tmp_path / "imagenet.csv", "resnet50:distilled", 0.5)
    remember(tmp_path / "imagenet.csv", "resnet50:distilled", 0.801)
    assert collect(tmp_path)[0][IMAGENET][0] == 0.801


def test_a_store_without_a_run_that_counts_is_one_line(tmp_path, capsys):
    write_run(tmp_path, "aptos", "a", PAPER, 0.9, mark="sample data")
    with pytest.raises(UserError, match="has no finished run that counts: 1 sample data"):
        collect(tmp_path)
    assert run(main, ["collect", "--runs", str(tmp_path / "no"), "--to", str(tmp_path / "x.csv")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_the_papers_protocol_has_no_deviations_on_any_data_set():
    for job in grids.paper():
        assert deviations(job.competition, job.recipe) == ""
    assert deviations("aptos", PAPER.with_fields(epochs=10, tta="flip")) == "epochs=10 tta=flip"


# ImageNet accuracies


def test_accuracies_are_the_papers_and_those_of_other_models_are_not_guessed():
    assert known("resnet50").top1 == pytest.approx(0.761)
    assert np.isnan(known("resnet50.a1_in1k").top1)
    assert known("resnet50.a1_in1k").parameters == 25_557_032


def test_names_without_a_tag_are_looked_up_in_the_libraries():
    assert np.isnan(known("no_such_network").top1)
    assert known("mobilenet_v2").top1 == pytest.approx(0.71878)


def test_accuracies_may_be_told_in_timms_form_too(tmp_path):
    (tmp_path / "timm.csv").write_text("model,top1\na,71.5\nb,80\n")
    assert read_top1(tmp_path / "timm.csv") == {"a": 0.715, "b": 0.8}
    (tmp_path / "wrong.csv").write_text("model,imagenet_top1\na,high\n")
    with pytest.raises(UserError, match="'imagenet_top1' must be a number from 0 to 100, but a has 'high'"):
        read_top1(tmp_path / "wrong.csv")
    (tmp_path / "mixed.csv").write_text("model,top1\na,71.5\nb,0.8\n")
    with pytest.raises(UserError, match=r"'top1' has 0.8 and 71.5; give all in percent or all as fractions"):
        read_top1(tmp_path / "mixed.csv")


# Where a model stands


def whole(data_set: str, backbone: str, scores: list[float], **fields) -> list[dict]:
    """Rows of the paper's protocol on the whole data set, a row a seed."""
    size = SIZES.loc[data_set]
    row = {"dataset": data_set, "backbone": backbone, "metric": size["metric"], "recipe": backbone, "environment": ""}
    row |= {"rows": size["train_size"] + size["eval_size"], "scored": size["eval_size"], "data": data_set}
    row |= {"scored_on": "test" if data_set == "cct20" else "held out", "deviations": "epochs=10"}
    row |= {IMAGENET: 0.85, "parameters": 5e7} | fields
    return [
        row | {"seed": seed, "score": score, "low": score - 0.004, "high": score + 0.004}
        for seed, score in enumerate(scores)
    ]


def written(folder: Path, *rows: list[dict]) -> Path:
    path = folder / "results.csv"
    pd.DataFrame([row for them in rows for row in them]).to_csv(path, index=False)
    return path


def placed(path: Path, backbone: str = "new", top1: float = 0.85):
    return {one.data_set: one for one in standings(read_rows_of_runs(path), backbone, top1, "resnet50")}


def test_a_paper_model_put_in_as_ones_own_stands_where_the_paper_has_it(tmp_path):
    paper = tables.scores()
    rows = [whole(name, "again", [paper.loc["ConvNext-tiny", name]]) for name in SIZES.index]
    found = placed(written(tmp_path, *rows), "again", paper.loc["ConvNext-tiny", IMAGENET])
    for name, one in found.items():
        assert one.unlike == ""
        assert one.rank == 1 + (paper[name] > paper.loc["ConvNext-tiny", name]).sum()
        assert one.among == 20
        assert one.gain == pytest.approx(paper.loc["ConvNext-tiny", name] - paper.loc["ResNet-50", name])


def test_what_the_trend_expects_is_what_least_squares_predicts():
    from statsmodels.api import OLS, add_constant

    paper = tables.scores().query("imagenet_top1 > 0.7")
    expected, half = prediction(tables.scores()[IMAGENET], tables.scores()["hpa"], 0.85)
    fitted = OLS(paper["hpa"], add_constant(paper[IMAGENET])).fit()
    frame = fitted.get_prediction([[1, 0.85]]).summary_frame()
    assert expected == pytest.approx(frame["mean"][0])
    assert half == pytest.approx((frame["obs_ci_upper"][0] - frame["obs_ci_lower"][0]) / 2)


def test_errors_are_of_the_test_set_and_of_the_seeds(tmp_path):
    one = placed(written(tmp_path, whole("aptos", "new", [0.91, 0.92, 0.93])))["aptos"]
    assert one.seeds == 3
    assert one.score == pytest.approx(0.92)
    assert one.half == pytest.approx(np.hypot(0.004, 1.96 * 0.01 / np.sqrt(3)))


def test_gains_on_imagenet_that_do_not_transfer_are_named(tmp_path):
    paper = tables.scores().loc["ResNet-50"]
    path = written(
        tmp_path,
        whole("cct20", "new", [paper["cct20"] + 0.05]),
        whole("aptos", "new", [paper["aptos"]]),
        whole("cassava", "new", [paper["cassava"] - 0.03]),
    )
    told = " ".join(verdict("new", 0.85, "resnet50", list(placed(path).values())))
    assert "new has 85.0% on ImageNet, 8.9 points above ResNet-50." in told
    assert "The gain on ImageNet transfers to Caltech Camera Traps-20." in told
    assert "Gains on ImageNet that do not transfer to APTOS 2019 Blindness, Cassava Leaf Disease" in told
    assert "(it is worse on Cassava Leaf Disease)" in told
    assert "not comparable" not in told


def test_a_lead_that_is_no_lead_in_the_papers_digits_is_called_none(tmp_path):
    paper = tables.scores().loc["ResNet-50"]
    path = written(tmp_path, whole("cct20", "new", [0.8]), whole("cassava", "new", [paper["cassava"] - 0.03]))
    told = " ".join(verdict("new", 0.7613, "resnet50", list(placed(path, top1=0.7613).values())))
    assert "new has 76.1% on ImageNet, as has ResNet-50. Better on Caltech Camera Traps-20." in told
    assert "Worse on Cassava Leaf Disease." in told


def test_without_an_interval_of_the_score_nothing_is_said_of_it(tmp_path):
    path = written(
        tmp_path,
        whole("cct20", "new", [0.2]),
        whole("cct20", "weaker", [0.8], imagenet_top1=0.6),
        whole("aptos", "new", [0.95]),
    )
    rows = pd.read_csv(path)
    rows.loc[rows["dataset"] == "cct20", ["low", "high"]] = np.nan
    rows.to_csv(path, index=False)
    told = report(path, "new", "resnet50").notes
    assert "Without low and high of a score nothing can be said of Caltech Camera Traps-20." in told
    assert "Where the trend expects it on 1 of 1 data sets." not in told
    assert any("(interval not known)" in note for note in told)
    assert not any("does not show here" in note or "nan" in note for note in told)


def test_a_score_without_a_logit_is_why_there_is_no_average(tmp_path):
    rows = [whole(name, "new", [0.9]) for name in ("cct20", "melanoma")]
    rows[1][0] |= {"score": 1, "low": 1, "high": 1}
    told = report(written(tmp_path, *rows), "new", "resnet50").notes
    assert any(note.startswith("No average: new, melanoma: a score of 1 has no logit") for note in told)


@pytest.mark.parametrize(
    ("value", "message"), [("many", "'rows' must be a number"), (None, "'rows' is blank in line 2")]
)
def test_how_many_images_it_was_must_be_told(tmp_path, value, message):
    with pytest.raises(UserError, match=message):
        read_rows_of_runs(written(tmp_path, whole("cct20", "new", [0.9], rows=value)))


def test_a_part_of_the_data_or_another_protocol_is_never_held_against_the_paper(tmp_path):
    path = written(
        tmp_path,
        whole("cct20", "new", [0.95], rows=635, scored=159),
        whole("aptos", "new", [0.95], deviations="input_size=96"),
        whole("hpa", "new", [0.6], scored=5664),
    )
    found = placed(path)
    assert found["cct20"].unlike == "635 of its 14,071 images, 159 of 15,215 scored"
    assert found["aptos"].unlike == "input_size=96"
    assert found["hpa"].unlike == ""
    told = report(path, "new", "resnet50")
    ranks = dict(zip(told.rows["dataset"], told.rows["rank"], strict=True))
    assert ranks["aptos"] == "1 of 20*"
    assert not ranks["hpa"].endswith("*")
    assert any(note.startswith("APTOS 2019 Blindness: not comparable") for note in told.notes)
    said = " ".join(verdict("new", 0.85, "resnet50", list(found.values())))
    assert "transfers to APTOS" not in said
    assert "No result on melanoma, cassava, eurosat" in told.notes[-1]


def test_own_runs_are_compared_under_the_same_protocol_on_the_same_data_alone(tmp_path):
    path = written(
        tmp_path,
        whole("cct20", "new", [0.70], rows=635),
        whole("cct20", "weaker", [0.80], rows=635, imagenet_top1=0.6),
        whole("cct20", "larger", [0.90], rows=635, deviations="input_size=384"),
        whole("cct20", "elsewhere", [0.90], rows=635, data="other"),
    )
    one = placed(path)["cct20"]
    assert [name for name, _, _ in one.own] == ["weaker", "new"]
    assert one.own_rank == 2
    told = " ".join(verdict("new", 0.85, "resnet50", [one]))
    assert "2 of 2 with 0.7000 (85.0); weaker 0.8000 (60.0)" in told
    assert "a lead on ImageNet that does not show here" in told


def test_the_command_says_it_in_a_hundred_columns_and_as_json(tmp_path, capsys):
    rows = [whole(name, "new", [0.9, 0.91]) for name in ("cct20", "hpa")]
    path = str(written(tmp_path, *rows))
    assert run(main, ["transfer", "--results", path, "--backbone", "new"]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    assert "Average of standardised logits over cct20, hpa" in told
    assert run(main, ["transfer", "--results", path, "--backbone", "new", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["dataset"] == "cct20"
    assert run(main, ["transfer", "--results", path, "--backbone", "nwe"]) == 2
    assert "no results of 'nwe' on the study's data sets; there are new" in capsys.readouterr().err
    assert run(main, ["transfer", "--results", path, "--backbone", "new", "--against", "vgg"]) == 2
    assert "'vgg' is none of the paper's models" in capsys.readouterr().err


# Fine-tuning


def test_an_empty_list_of_seeds_is_refused():
    with pytest.raises(UserError, match="seeds: name one at least, or leave out --seeds"):
        jobs_of(TransferArguments("resnet50", seeds=()))


@pytest.mark.parametrize("jobs", [-1, 10**30])
def test_runs_at_once_are_as_many_as_a_machine_can_start(jobs):
    with pytest.raises(UserError, match="jobs: must be from 0 to 1024"):
        local_engine(Options(), jobs)


def test_the_protocol_is_the_papers_with_a_smaller_search():
    jobs = jobs_of(TransferArguments("convnext_tiny.fb_in1k"))
    assert len(jobs) == 7 * 3
    for job in jobs:
        assert deviations(job.competition, job.recipe) == ("" if job.competition == "melanoma" else "epochs=10")
        assert job.recipe.split == "paper"
    assert {job.recipe.input_size for job in jobs} == {224, 256}
    assert len(jobs_of(TransferArguments("resnet50", only=("cct20", "cct20"), seeds=(0, 0)))) == 3
    assert {job.recipe.input_size for job in jobs_of(TransferArguments("deit_tiny_patch16_224.fb_in1k"))} == {224}


def test_a_file_of_weights_names_its_model_or_is_told_it():
    assert jobs_of(TransferArguments("w/squeezenet1_1.pth"))[0].recipe.backbone == "squeezenet1_1"
    told = jobs_of(TransferArguments("w/best.pth", backbone="regnetx_002"))[0].recipe
    assert (told.backbone, told.weights) == ("regnetx_002", "w/best.pth")


def test_only_the_recipe_that_held_out_rows_choose_is_scored_on_the_test_part(tmp_path):
    tasks = []
    for rate, scores in ((1e-3, (0.7, 0.9)), (1e-4, (0.84, 0.86))):
        for seed, score in enumerate(scores):
            recipe = PAPER.with_fields(learning_rate=rate, seed=seed)
            folder = write_run(tmp_path, "cct20", f"{rate}-{seed}", recipe, score)
            tasks.append(Task(Job("cct20", recipe), folder.name, tmp_path, 1))
    tasks.append(Task(Job("cct20", PAPER.with_fields(seed=9)), "never-trained", tmp_path, 1))
    assert chosen(tasks, Options(runs=tmp_path)) == tasks[2:4]


def test_a_model_is_trained_and_placed_by_one_command(tmp_path, monkeypatch, capsys):
    """On a very small data set from random weights that pass for somebody's: the way, not the number."""
    monkeypatch.chdir(tmp_path)
    from safetensors.torch import save_file
    from timm import create_model

    save_file(create_model("test_resnet").state_dict(), "test_resnet.safetensors")
    write_small_aptos(tmp_path / "aptos")
    words = ["test_resnet.safetensors", "--only", "aptos", "eurosat", "--data", "aptos=aptos", "--folds", "2"]
    words += ["--input-size", "32", "--epochs", "1", "--batch-size", "8", "--learning-rates", "1e-3", "3e-3"]
    words += ["--imagenet-top1", "0.3", "--device", "cpu"]
    command(words)
    told = capsys.readouterr().out
    assert "eurosat" in told
    assert "fetch" in told or "download" in told
    assert "test_resnet among the paper's models" in told
    assert "not comparable with the paper (60 of its 3,662 images, 30 of 732 scored" in " ".join(told.split())
    rows = pd.read_csv("runs/results.csv")
    assert len(rows) == 2
    assert rows[IMAGENET].tolist() == [0.3, 0.3]
    before = {path: path.stat().st_mtime_ns for path in Path("runs").glob("aptos/*/metrics.json")}
    command(words)
    assert before == {path: path.stat().st_mtime_ns for path in Path("runs").glob("aptos/*/metrics.json")}


def test_sample_data_mark_their_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from common.train import train

    raw = in_folder(load("aptos"), write_small_aptos(tmp_path / "aptos"))
    drawn = replace(raw, mark="sample data")
    options = Options(runs=tmp_path / "runs", device="cpu", workers=0)
    recipe = RECIPE.with_fields(epochs=1, only_folds=(0,))
    about = train(raw.competition, recipe, drawn.data(recipe, options), options).about
    assert (about["mark"], about["rows"]) == ("sample data", 60)


def test_what_cannot_be_done_is_said_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, reason in (
        (["resnet50", "--only", "cct2"], r"no data set 'cct2' \(did you mean 'cct20'\?\)"),
        (["resnet50", "--data", "sample"], "on real data"),
        (["resnet50", "--data", "cct2=x"], "there is no data set 'cct2'"),
        (["resnet50", "--only", "cct20"], "there is nothing that can be done"),
        ([""], "model: none is named; give MODEL="),
        (["resnet5o", "--plan"], r"no 'resnet5o' in timm or torchvision \(did you mean 'resnet50'\?\)"),
        (["w/best.pth", "--plan"], "no 'best' in timm.*; name the model of w/best.pth with --backbone"),
        (["resnet50", "--imagenet-top1", "76.1", "--plan"], "76.1 is no fraction"),
        (["resnet50", "--against", "vgg", "--plan"], "'vgg' is none of the paper's models"),
    ):
        with pytest.raises(UserError, match=reason):
            command(words)


def test_the_study_in_little_is_48_runs_of_parts():
    jobs = grids.small_study()
    assert len(jobs) == len({(job.competition, job.recipe) for job in jobs}) == 48
    assert sum(job.recipe.backbone == "resnet50" for job in jobs) == 3
