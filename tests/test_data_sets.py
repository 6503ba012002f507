"""The data sets that `download` knows by name: where they are, what they hold, that their layout fits the readers."""

from pathlib import Path

import pytest

from common.kaggle.client import practice_client
from competitions import load, names
from competitions.__main__ import run
from tests.warehouse import Warehouse, serving, zipped

IMAGE = bytes(range(256)) * 4
MELANOMA = (
    b"image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target,tfrecord\n"
)
RETINOPATHY = zipped({"train/10_left.jpeg": IMAGE, "train/10_right.jpeg": IMAGE})
LABELS_2015 = b"image,level\n10_left,0\n10_right,4\n"
CASSAVA_2019 = {f"train/{name}/train-{name}-1.jpg": IMAGE for name in ("cbb", "cbsd", "cgm", "cmd", "healthy")}
LAYOUTS = {
    ("aptos", "retinopathy-2015"): {
        "trainLabels.csv": LABELS_2015,
        "trainLabels_cropped.csv": b"Unnamed: 0,image,level\n0,10_left,0\n",
        **{f"{folder}/{folder}/10_left.jpeg": IMAGE for folder in ("resized_train", "resized_train_cropped")},
        "resized_train/resized_train/10_right.jpeg": IMAGE,
    },
    ("aptos", "retinopathy-2015-full"): {
        "train.zip.001": RETINOPATHY[:800],
        "train.zip.002": RETINOPATHY[800:],
        "trainLabels.csv.zip": zipped({"trainLabels.csv": LABELS_2015}),
    },
    ("melanoma", "melanoma-256"): {
        "train.csv": MELANOMA + b"ISIC_1,IP_1,male,45.0,torso,unknown,benign,0,3\n",
        "test.csv": b"image_name,patient_id,sex,age_approx,anatom_site_general_challenge\nISIC_9,IP_9,,,\n",
        "sample_submission.csv": b"image_name,target\nISIC_9,0\n",
        "train/ISIC_1.jpg": IMAGE,
        "test/ISIC_9.jpg": IMAGE,
    },
    ("melanoma", "isic-2019-256"): {
        "train.csv": MELANOMA + b"ISIC_5,-1,male,45.0,torso,MEL,malignant,1,3\nISIC_6,-1,,,,NV,benign,0,-1\n",
        "train/ISIC_5.jpg": IMAGE,
    },
    ("cassava", "cassava-2019"): {
        "train.zip": zipped(CASSAVA_2019),
        "extraimages.zip": zipped({"extraimages/extra-image-0.jpg": IMAGE}),
        "sample_submission_file.csv": b"Category,Id\n",
    },
}
ROWS = {"retinopathy-2015": 2, "retinopathy-2015-full": 2, "melanoma-256": 1, "isic-2019-256": 1, "cassava-2019": 5}


@pytest.fixture
def warehouse(monkeypatch, tmp_path):
    """In place of Kaggle, beside an empty working folder."""
    warehouse = Warehouse(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("common.kaggle.client.kaggle_client", lambda: practice_client(warehouse.url))
    with serving(warehouse):
        yield warehouse


@pytest.mark.parametrize(("name", "wanted"), LAYOUTS)
def test_a_declared_set_is_fetched_by_name_and_fits_its_reader(warehouse, tmp_path, capsys, name, wanted):
    warehouse.content = zipped(LAYOUTS[name, wanted])
    assert run([name, "download", "--set", wanted]) == 0
    out = capsys.readouterr().out
    assert "licence: " in out
    assert f"{wanted} is in data/{wanted}, {ROWS[wanted]} images with labels: " in out
    competition = load(name)
    known = next(known for known in competition.downloads if known.name == wanted)
    read = competition.read_external if known.use == "external" else competition.read_train
    assert all(Path(path).is_file() for path in read(tmp_path / "data" / wanted)["path"])
    assert warehouse.calls[0][1].get("datasetSlug", "") in known.source


DECLARED = [pytest.param(load(name), known, id=known.name) for name in names() for known in load(name).downloads]


@pytest.mark.parametrize(("competition", "known"), DECLARED)
def test_every_declared_set_says_where_it_is_what_it_holds_and_who_reads_it(competition, known):
    assert known.holds
    assert known.licence
    assert known.source.startswith("https://" if known.how else ("competitions/", "datasets/"))
    assert known.use == "data" or competition.read_external is not None
    assert [other.name for other in competition.downloads].count(known.name) == 1


def test_every_competition_that_takes_external_images_knows_a_set_of_them():
    for competition in map(load, names()):
        takes = competition.read_external is not None
        assert takes == any(known.use == "external" for known in competition.downloads), competition.name


def test_the_list_names_every_set_with_page_and_licence(capsys):
    assert run(["melanoma", "download", "--set", "list"]) == 0
    out = capsys.readouterr().out
    assert "rules are accepted at https://www.kaggle.com/competitions/siim-isic-melanoma-classification/rules" in out
    for known in load("melanoma").downloads:
        assert f"\n{known.name}\n" in out
        assert f"page: https://www.kaggle.com/datasets/cdeotte/{known.source.rpartition('/')[2]}\n" in out
    assert out.count("licence: CC BY-NC 4.0") == len(load("melanoma").downloads)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cct20", "download"], "fetch eccv_18_all_images_sm.tar.gz and eccv_18_annotations.tar.gz, and unpack both"),
        (["cct20", "download"], "(from https://lila.science/datasets/caltech-camera-traps)"),
        (["eurosat", "download"], "fetch EuroSAT_RGB.zip or EuroSAT_MS.zip, and point DATA at the file"),
        (["eurosat", "download"], "(from https://zenodo.org/records/7711810)"),
        (["eurosat", "train"], "(from https://zenodo.org/records/7711810)"),
        (["hpa", "download", "--set", "hpa-v18"], "hpa-v18 is fetched by hand: lay HPAv18RBGY_wodpl.csv into data/hpa"),
        (
            ["melanoma", "download", "--set", "melanoma-521"],
            "there is no 'melanoma-521' (did you mean 'melanoma-512'?)",
        ),
        (["cifar10", "download", "--set", "more"], "there is no 'more'; cifar10 declares none"),
        (["melanoma", "download", "--set", "melanoma-512", "--leaderboard", "practice"], "is on Kaggle alone"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line_with_the_way_out(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_download_that_fails_is_exit_code_2_and_one_line(warehouse, capsys):
    warehouse.faults = {0: ("type", "text/html")}
    assert run(["hpa", "download"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "https://www.kaggle.com/competitions/human-protein-atlas-image-classification" in error
    assert "signature" not in error
