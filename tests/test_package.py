"""What goes to Kaggle: deterministic, complete, enough by itself."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import read_json, write_json, write_text
from common.kaggle import package as package_module
from common.kaggle.package import check_package, pack_run, pack_training, write_metadata
from common.kaggle.wheels import PACKAGES, versions, wheels
from common.recipe import Recipe
from common.run import Run
from competitions import load
from tests.small_data import RECIPE

APTOS = load("aptos")
FILES = {"source.zip", "runs.zip", "wheels.zip", "package.json"}


@pytest.fixture(scope="module", autouse=True)
def wheels_made_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package_module, "wheels", wheels().copy)
        yield


def finished_run(root: Path, name: str = "0123456789ab", **about) -> Run:
    """A run folder as a training leaves it, with a few bytes for weights."""
    run = Run(root / "aptos" / name)
    common = {"competition": "aptos", "recipe": RECIPE.to_dict(), "data": "d", "source": "d", "started": "s"}
    write_json(run.folder / "run.json", {**common, "skipped": [], **about})
    write_json(run.folder / "environment.json", {"python": "3.11"})
    write_json(run.folder / "metrics.json", {"metric": "qwk", "score": 0.8, "interval": [0.7, 0.9], "n": 60})
    if "blend" not in about:
        for fold in (0, 1):
            write_json(run.folder / f"fold-{fold}" / "done", {"weights": ["weights-3.safetensors"]})
            (run.folder / f"fold-{fold}" / "weights-3.safetensors").write_bytes(f"{name} {fold}".encode())
            (run.folder / f"fold-{fold}" / "curve.csv").write_text("epoch\n1\n")
    return run


def unpacked(folder: Path, target: Path) -> Path:
    """As Kaggle mounts a dataset: NAME.zip unpacked into the folder NAME."""
    target.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if file.suffix == ".zip":
            zipfile.ZipFile(file).extractall(target / file.stem)
        elif file.name != "dataset-metadata.json":
            (target / file.name).write_bytes(file.read_bytes())
    return target


def names_in(archive: Path) -> set[str]:
    return set(zipfile.ZipFile(archive).namelist())


def test_a_packed_run_has_what_prediction_reads_and_no_more(tmp_path):
    run = finished_run(tmp_path / "runs")
    package = pack_run(APTOS, run, tmp_path / "packages")
    assert {path.name for path in package.folder.iterdir()} == FILES | {package.mark}
    assert names_in(package.folder / "runs.zip") == {
        f"aptos/{run.id}/{name}"
        for name in (
            "run.json",
            "metrics.json",
            "environment.json",
            *(f"fold-{fold}/{name}" for fold in (0, 1) for name in ("done", "weights-3.safetensors")),
        )
    }
    source = names_in(package.folder / "source.zip")
    assert {"common/models/zoo.csv", "common/kaggle/answer.py", "competitions/aptos/data.py"} <= source
    assert {name.partition("/")[0] for name in source} == {"common", "competitions"}
    assert not [name for name in source if "__pycache__" in name or not name.endswith((".py", ".csv"))]
    assert not [name for name in source if "/study/" in name or "/practice/" in name]
    about = read_json(package.folder / "package.json")
    assert about["runs"] == [run.id]
    assert about["cv"] == {"metric": "qwk", "score": 0.8, "interval": [0.7, 0.9], "n": 60}
    assert about["sha256"] == package.sha256


def test_the_same_run_is_the_same_package_whenever_and_wherever_it_is_packed(tmp_path):
    run = finished_run(tmp_path / "runs")
    one = pack_run(APTOS, run, tmp_path / "one")
    run.update(test="predicted since")
    os.utime(run.folder / "fold-0" / "done", (1, 1))
    other = pack_run(APTOS, run, tmp_path / "other")
    assert one.sha256 == other.sha256
    for name in FILES:
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    (run.folder / "fold-0" / "weights-3.safetensors").write_bytes(b"other weights")
    assert pack_run(APTOS, run, tmp_path / "one").sha256 != one.sha256


def test_a_package_is_found_ready_and_a_damaged_one_made_anew(tmp_path, monkeypatch):
    run = finished_run(tmp_path / "runs")
    package = pack_run(APTOS, run, tmp_path / "packages")
    write_metadata(package, "somebody")
    with monkeypatch.context() as patch:
        patch.setattr(package_module, "write_package", lambda *_: pytest.fail("it was ready"))
        assert pack_run(APTOS, run, tmp_path / "packages") == package
    (package.folder / "runs.zip").unlink()
    pack_run(APTOS, run, tmp_path / "packages")
    assert {path.name for path in package.folder.iterdir()} == FILES | {package.mark}
    assert [path.name for path in package.folder.parent.glob("[!.]*")] == [package.slug]
    assert list(package.folder.parent.glob("*.tmp")) == []


def test_processes_that_pack_the_same_at_once_pack_it_once(tmp_path, monkeypatch):
    run, packages, written = finished_run(tmp_path / "runs"), tmp_path / "packages", []
    write_package = package_module.write_package

    def slowly(*arguments):
        written.append(arguments)
        time.sleep(0.3)
        write_package(*arguments)

    monkeypatch.setattr(package_module, "write_package", slowly)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: pack_run(APTOS, run, packages), range(2))
    assert (one, len(written)) == (other, 1)


def test_a_blend_brings_the_runs_that_it_is_made_of(tmp_path):
    finished_run(tmp_path, "aaaaaaaaaaaa"), finished_run(tmp_path, "bbbbbbbbbbbb")
    blend = {"of": ["aaaaaaaaaaaa", "bbbbbbbbbbbb"], "how": "mean", "by": [1.0, 1.0]}
    package = pack_run(APTOS, finished_run(tmp_path, "blend-cccccccccccc", blend=blend), tmp_path / "packages")
    inside = names_in(package.folder / "runs.zip")
    assert {name.split("/")[1] for name in inside} == {"aaaaaaaaaaaa", "bbbbbbbbbbbb", "blend-cccccccccccc"}
    assert sum(name.endswith(".safetensors") for name in inside) == 4


def test_what_the_official_client_reads_is_as_kaggle_wants_it(tmp_path):
    package = pack_run(APTOS, finished_run(tmp_path / "runs"), tmp_path)
    about = json.loads(write_metadata(package, "somebody").read_text())
    assert about == {
        "id": "somebody/aptos-run-0123456789ab",
        "title": "aptos run 0123456789ab",
        "licenses": [{"name": "other"}],
    }
    slug = package_module.slug_of("a_competition_with_a_very_long_name_indeed", "run-blend-0123456789ab")
    assert len(slug) <= 50
    assert slug.startswith("a-competition-with-a-very")
    assert slug.endswith("-run-blend-0123456789ab")


def test_a_mounted_package_is_checked_file_by_file(tmp_path):
    package = pack_run(APTOS, finished_run(tmp_path / "runs"), tmp_path / "packages")
    mounted = unpacked(package.folder, tmp_path / "mounted")
    assert check_package(mounted, package.sha256)["kind"] == "run"
    with pytest.raises(UserError, match="another version"):
        check_package(mounted, "0" * 64)
    weights = mounted / "runs" / "aptos" / "0123456789ab" / "fold-1" / "weights-3.safetensors"
    weights.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"other contents in runs/aptos/0123456789ab/fold-1/weights-3\.safetensors"):
        check_package(mounted, package.sha256)
    weights.unlink()
    with pytest.raises(UserError, match="lacks runs/aptos/0123456789ab/fold-1"):
        check_package(mounted, package.sha256)


def test_a_run_that_cannot_predict_is_not_packed(tmp_path, monkeypatch):
    run = finished_run(tmp_path)
    monkeypatch.setattr(package_module, "LARGEST", 1000)
    with pytest.raises(UserError, match="a package holds"):
        pack_run(APTOS, run, tmp_path / "packages")
    (run.folder / "fold-1" / "weights-3.safetensors").unlink()
    with pytest.raises(UserError, match=r"lost its weights .*fold-1/weights-3\.safetensors"):
        pack_run(APTOS, run, tmp_path / "packages")
    (run.folder / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        pack_run(APTOS, run, tmp_path / "packages")
    assert not (tmp_path / "packages").exists()


def test_a_training_brings_the_weights_that_it_starts_from(tmp_path, monkeypatch):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"weights")
    package = pack_training(APTOS, Recipe(weights=str(file)), tmp_path / "packages")
    assert {path.name for path in package.folder.iterdir()} == FILES - {"runs.zip"} | {"mine.safetensors", package.mark}
    assert package.slug.startswith("aptos-train-")
    assert (
        read_json(package.folder / "package.json")["files"]["mine.safetensors"]
        == hashlib.sha256(b"weights").hexdigest()
    )
    assert pack_training(APTOS, Recipe(weights="none"), tmp_path / "packages").slug != package.slug
    folder = tmp_path / "weights"
    write_text(folder / "resnet50.safetensors", "of the library")
    monkeypatch.setenv("WEIGHTS_DIR", str(folder))
    package = pack_training(APTOS, Recipe(), tmp_path / "packages")
    assert (package.folder / "resnet50.safetensors").read_text() == "of the library"


@pytest.mark.parametrize("field", ["external", "pseudo", "clean"])
def test_a_training_on_other_data_or_runs_of_this_machine_is_refused(tmp_path, field):
    with pytest.raises(UserError, match=f"{field}: a training on Kaggle has the competition's data alone"):
        pack_training(APTOS, Recipe(**{field: "here"}), tmp_path)


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match="no file nowhere"):
        pack_training(APTOS, Recipe(weights="nowhere"), tmp_path)


def test_the_source_is_enough_by_itself(tmp_path):
    package = pack_run(APTOS, finished_run(tmp_path / "runs"), tmp_path / "packages")
    zipfile.ZipFile(package.folder / "source.zip").extractall(tmp_path / "source")
    ask = (
        "import common, competitions\n"
        "for name in competitions.names(): competitions.load(name)\n"
        "from common.kaggle import package\n"
        "from common.models.zoo import zoo\n"
        "print(len(zoo()) > 20, common.__file__, competitions.__file__)"
    )
    elsewhere = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    asked = f"import sys; sys.path.insert(0, {str(tmp_path / 'source')!r})\n{ask}"
    told = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, env=elsewhere, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == [
        "True",
        *(f"{tmp_path}/source/{part}/__init__.py" for part in ("common", "competitions")),
    ]


def test_wheels_hold_the_packages_and_nothing_of_their_installation():
    made = wheels()
    assert made == wheels()
    assert len(made) == len(PACKAGES)
    for name, content in made.items():
        files = zipfile.ZipFile(io.BytesIO(content)).namelist()
        assert name.endswith("-py3-none-any.whl")
        assert sum(file.endswith(".dist-info/RECORD") for file in files) == 1
        assert not [file for file in files if "__pycache__" in file or ".." in file or file.endswith("INSTALLER")]


@pytest.mark.slow
def test_a_fresh_environment_installs_the_wheels_and_imports_them(tmp_path):
    (tmp_path / "wheels").mkdir()
    for name, content in wheels().items():
        (tmp_path / "wheels" / name).write_bytes(content)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    wanted = [f"{name}=={version}" for name, version in versions().items()]
    offline = ["--quiet", "--no-index", "--no-deps", "--find-links", str(tmp_path / "wheels")]
    subprocess.run([python, "-m", "pip", "install", *offline, *wanted], check=True)
    beside = [path for path in sys.path if path.endswith("site-packages")]  # what is compiled, as in Kaggle's image
    ask = (
        f"import sys; sys.path += {beside}\n"
        "import docstring_parser, imagehash, timm, ttach, typeguard, tyro\n"
        "print(*(module.__file__ for module in (docstring_parser, imagehash, timm, ttach, typeguard, tyro)))"
    )
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert len(told.split()) == len(PACKAGES)
    assert all(file.startswith(str(tmp_path / "venv")) for file in told.split())
