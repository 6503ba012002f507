"""`--json` on verbs whose text is made elsewhere: standard output is one answer with every digit, and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from timm import create_model

from common.models.__main__ import main as models
from common.options import Options
from common.sweep.grid import Job
from common.sweep.plan import as_text, plan_facts
from competitions import load, studying
from competitions.__main__ import run
from competitions.grids import GRIDS
from tests.small_data import RECIPE, write_small_aptos

pytestmark = pytest.mark.usefixtures("elsewhere")
QUICK = RECIPE.with_fields(epochs=1, only_folds=(0,))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder with a small APTOS in data/, and a grid of two runs on it and one that lacks its data."""
    monkeypatch.chdir(tmp_path)
    write_small_aptos(tmp_path / "data" / "aptos")
    jobs = [Job("aptos", QUICK), Job("aptos", QUICK.with_fields(seed=1)), Job("cct20", QUICK)]
    monkeypatch.setitem(GRIDS, "small", lambda: jobs)
    return tmp_path


def answer(capsys, *words: str, of=run) -> tuple[dict, str]:
    """The JSON on standard output, and what stands on standard error."""
    capsys.readouterr()
    assert of(list(words)) in (0, None)
    told = capsys.readouterr()
    return json.loads(told.out), told.err


STUDY = ("study", "--grid", "small", "--weights", "none", "--device", "cpu", "--workers", "0")


def test_the_plan_of_a_study_as_json_says_what_the_text_says(capsys):
    about, aside = answer(capsys, *STUDY, "--plan", "--json")
    assert about["counts"] == {"done": 0, "failed": 0, "to do": 2, "not possible yet": 1}
    assert about["data_sets"][0] | {"hours": None} == {
        "dataset": "aptos",
        "runs": 2,
        "done": 0,
        "images": 2 * 24,
        "hours": None,
    }
    assert about["not_possible"] == [{"dataset": "cct20", "runs": 1, "images": 14_071}]
    assert about["seconds"] == pytest.approx(3600 * about["hours"] / about["workers"])
    assert "3 runs: 0 done, 0 failed, 2 to do, 1 not possible yet" in aside
    assert all(reason in aside for reason in about["reasons"])


def test_a_study_as_json_ends_with_where_it_stands(capsys):
    about, aside = answer(capsys, *STUDY, "--json")
    assert about["counts"]["done"] == 2
    assert about["best"][0]["run"] in aside
    assert about["results"].endswith("results.csv")
    again, _ = answer(capsys, *STUDY, "--json")
    assert again == about


def test_halving_is_told_in_json_as_in_text(tmp_path):
    jobs = [job for job in GRIDS["small"]() if job.competition == "aptos"]
    options = Options(runs=tmp_path / "runs", cache=tmp_path / "cache", device="cpu")
    plan = studying.make_plan("small", jobs, lambda job: studying.found(job, options))
    plan = replace(plan, rungs=1, budget="1e2")
    about, text = plan_facts(plan, options.runs, {}), as_text(plan, options.runs, {})
    assert about["halving"]["rungs"][-1]["epochs"] == 1
    assert f"{about['halving']['images']:,.0f} images, {about['halving']['share']:.1%} of the whole grid" in text
    assert about["hours"] is None
    assert about["seconds"] is None


def test_a_transfer_as_json_is_its_plan_and_its_table(tmp_path, capsys):
    save_file(create_model("test_resnet").state_dict(), "test_resnet.safetensors")
    words = [
        "transfer",
        "test_resnet.safetensors",
        "--only",
        "aptos",
        "--data",
        "data",
        "--folds",
        "2",
        "--epochs",
        "1",
    ]
    words += ["--input-size", "32", "--batch-size", "8", "--learning-rates", "1e-3", "--device", "cpu", "--json"]
    about, _ = answer(capsys, *words, "--plan")
    assert (about["sweep"], about["counts"]["to do"]) == ("transfer-test_resnet", 1)
    placed, aside = answer(capsys, *words, "--imagenet-top1", "0.3")
    assert placed["title"] == "test_resnet among the paper's models"
    assert [row["dataset"] for row in placed["rows"]] == ["aptos"]
    assert placed["title"] in aside
    assert (tmp_path / placed["results"]).is_file()


def test_the_accuracy_on_imagenet_as_json_has_every_digit(tmp_path, capsys):
    save_file(create_model("test_resnet", num_classes=1000).state_dict(), "test_resnet.safetensors")
    for number in range(3):
        (tmp_path / "images" / str(number)).mkdir(parents=True)
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / str(number) / "one.png")
    words = ["check", "--images", "images", "--backbone", "test_resnet", "--weights", "test_resnet.safetensors"]
    words += ["--device", "cpu", "--workers", "0"]
    about, _ = answer(capsys, *words, "--json", of=models)
    assert (about["backbone"], about["images"]) == ("test_resnet", 3)
    assert about["top1_interval"][0] <= about["top1"] <= about["top5"] <= about["top5_interval"][1]
    assert about["paper_top1"] is None
    models(words)
    low, high = (100 * end for end in about["top5_interval"])
    said = capsys.readouterr().out
    assert said.startswith("test_resnet: 3 images, top-1 ")
    assert said.endswith(f", top-5 {about['top5']:.1%} [{low:.1f}, {high:.1f}]\n")


def test_the_data_sets_of_a_competition_as_json_are_those_of_the_list(capsys):
    about, aside = answer(capsys, "melanoma", "download", "--set", "list", "--json")
    assert about["page"] == "https://www.kaggle.com/competitions/siim-isic-melanoma-classification"
    assert all(f"\n{known['name']}\n" in aside for known in about["sets"])
    assert len(about["sets"]) == len(load("melanoma").downloads)
    assert all(known["licence"] and known["page"].startswith("https://") for known in about["sets"])
    assert answer(capsys, "cifar10", "download", "--set", "list", "--json")[0]["page"] is None
