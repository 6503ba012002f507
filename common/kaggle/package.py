"""What goes to Kaggle as a private dataset: a run's weights or a recipe's, this project's source, wheels, a manifest.

<slug>/
    source.zip             common/ and competitions/
    runs.zip               <competition>/<run>/…, as in the folder of runs (to predict with)
    <name>.safetensors     the weights that a training starts from (to train with)
    wheels.zip             see `common.kaggle.wheels`
    package.json           what it is, and the SHA-256 of every file as it lies on Kaggle, which unpacks NAME.zip
                           into the folder NAME
    package-<mark>.txt     named after what is in the others
    dataset-metadata.json  for the official client
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.competition import Competition
from common.errors import UserError, listing
from common.files import alone, content_hash, read_json, sha256_of_file, write_json, write_text
from common.kaggle.wheels import versions, wheels
from common.leftovers import in_the_making, sweep_up
from common.models.folder import checked_file, chosen_file
from common.recipe import Recipe
from common.run import Run, find_run
from common.zipped import write_zip

MANIFEST, METADATA = "package.json", "dataset-metadata.json"
LARGEST = 20 * 1000**3
"""Bytes of a package: what a notebook gets mounted, and a connection uploads, without trouble."""
KEPT = ("competition", "recipe", "data", "source", "blend", "started", "finished", "skipped")
"""What a packed run.json says: not which test sets were predicted here since, so that the same run stays the same."""
PROJECT = Path(__file__).resolve().parents[2]
STAYS_HERE = ("common/kaggle/practice/", "common/report/", "common/study/", "common/sweep/")
"""Rooms that neither prediction nor training enters: a change there makes no new version of a dataset."""

Files = Mapping[str, Path | bytes]


@dataclass(frozen=True)
class Package:
    """A folder that is ready to be uploaded. `sha256` is the mark of its contents, of which the manifest and the
    notebook both know; `slug` and `title` name the dataset."""

    folder: Path
    sha256: str
    slug: str
    title: str

    @property
    def mark(self) -> str:
        """The file whose name says, in a list of a dataset's files, which contents a version has."""
        return f"package-{self.sha256[:12]}.txt"


def pack_run(competition: Competition, run: Run, folder: Path) -> Package:
    """The package `folder/<competition>-run-<id>`, with which a notebook predicts as the run (or blend) does here.

    Raises:
        UserError: the run is not finished, a weights file is gone, or there is more than `LARGEST`.
    """
    runs = [run, *members_of_blend(competition, run)]
    files: dict[str, Path | bytes] = {}
    for one in runs:
        files |= {f"runs/{competition.name}/{one.id}/{name}": content for name, content in files_of_run(one).items()}
    facts = {key: run.metrics[key] for key in ("metric", "score", "interval", "n")}
    about = {"kind": "run", "competition": competition.name, "runs": [one.id for one in runs], "cv": facts}
    return packed(competition, f"run-{run.id}", about, files, folder)


def pack_training(competition: Competition, recipe: Recipe, folder: Path) -> Package:
    """The package `folder/<competition>-train-<hash>`, with which a notebook trains the recipe without a network:
    weights that the recipe starts from are in it, as `<backbone>.safetensors` or under their own name.

    Raises:
        UserError: the recipe names other data or runs, its weights cannot be had, or there is more than `LARGEST`.
    """
    for name in ("external", "pseudo", "clean"):
        if getattr(recipe, name):
            what = "a folder" if name == "external" else "a run"
            raise UserError(
                f"{name}: a training on Kaggle has the competition's data alone, not {what} of this machine"
            )
    file = weights_file(recipe)
    files = {} if file is None else {file.name: file}
    about = {"kind": "train", "competition": competition.name, "recipe": recipe.to_dict()}
    digest = content_hash([recipe.identity(), file and sha256_of_file(file)])
    return packed(competition, f"train-{digest}", about, files, folder)


def weights_file(recipe: Recipe) -> Path | None:
    """The file that a training starts from, fetched into `weights/` where it is the library's and WEIGHTS_DIR does not
    have it; None for random weights."""
    if recipe.weights == "none":
        return None
    if recipe.weights != "imagenet":
        file = chosen_file(recipe.weights, recipe.backbone)
        if not file.is_file():
            raise UserError(f"weights: no file {file}; give --weights FILE.safetensors or --weights none")
        return file
    if folder := os.environ.get("WEIGHTS_DIR"):
        return checked_file(Path(folder), recipe.backbone)
    from common.models.fetch import fetch

    fetch((recipe.backbone,), Path("weights"))
    return checked_file(Path("weights"), recipe.backbone)


def members_of_blend(competition: Competition, run: Run) -> list[Run]:
    ids = run.about.get("blend", {"of": ()})["of"]
    return [find_run(run.folder.parent.parent, competition.name, run_id) for run_id in ids]


def files_of_run(run: Run) -> Files:
    """What prediction reads of a run folder. Raises UserError where some of it is not there."""
    if not run.finished:
        raise UserError(f"run {run.id} is not finished; train it first")
    weights = [file for _, file in run.weights()]
    if missing := [file for file in weights if not file.is_file()]:
        raise UserError(f"run {run.id} has lost its weights {listing(missing, 3)}; train it anew with --again")
    if not weights and "blend" not in run.about:
        raise UserError(f"run {run.id} has no weights to predict with; train it anew with --again")
    paths = [run.folder / "metrics.json", run.folder / "environment.json", *run.folder.glob("fold-*/done"), *weights]
    about = {key: value for key, value in run.about.items() if key in KEPT}
    return {"run.json": as_json(about)} | {path.relative_to(run.folder).as_posix(): path for path in paths}


def source_files() -> Files:
    """This project as it runs: its Python files, and the tables that they read."""
    found = [path for part in ("common", "competitions") for path in (PROJECT / part).rglob("[!.]*.*")]
    names = {path.relative_to(PROJECT).as_posix(): path for path in found if path.suffix in (".py", ".csv")}
    return {f"source/{name}": path for name, path in names.items() if not name.startswith(STAYS_HERE)}


def packed(competition: Competition, name: str, about: dict[str, Any], files: Files, folder: Path) -> Package:
    """The package of this name, found ready or made."""
    files = {**files, **source_files(), **{f"wheels/{wheel}": content for wheel, content in wheels().items()}}
    size = sum(len(content) if isinstance(content, bytes) else content.stat().st_size for content in files.values())
    slug = slug_of(competition.name, name)
    if size > LARGEST:
        raise UserError(f"{slug} is {size / 1e9:.1f} GB and a package holds {LARGEST / 1e9:.0f}: blend fewer runs")
    manifest = {**about, "wheels": versions(), "files": {path: digest_of(files[path]) for path in sorted(files)}}
    mark = hashlib.sha256(as_json(manifest)).hexdigest()
    package = Package(folder / slug, mark, slug, slug.replace("-", " "))
    with alone(folder / f".{slug}.lock", f"another process packs {slug}: waiting for it"):
        if not is_ready(package, files):  # else it may be on its way up
            write_package(package, {**manifest, "sha256": mark}, files)
    print(f"package {slug}: {size / 1e6:,.1f} MB in {package.folder}", flush=True)
    return package


def slug_of(competition: str, name: str) -> str:
    """What Kaggle takes for a dataset: at most 50 letters, digits and dashes; a long competition's name is cut."""
    return f"{re.sub('[^a-z0-9]+', '-', competition.lower())[: 49 - len(name)].strip('-')}-{name}"


def is_ready(package: Package, files: Files) -> bool:
    there = all((package.folder / on_top(name)).is_file() for name in (MANIFEST, package.mark, *files))
    return there and read_json(package.folder / MANIFEST)["sha256"] == package.sha256


def on_top(name: str) -> str:
    """The file of the package that a file on Kaggle comes from."""
    first, slash, _ = name.partition("/")
    return f"{first}.zip" if slash else name


def write_package(package: Package, manifest: dict[str, Any], files: Files) -> None:
    """Into a folder beside the package's, which then takes its name: half a package is never uploaded."""
    unfinished = in_the_making(package.folder)
    sweep_up(package.folder.parent)
    try:
        unfinished.mkdir(parents=True)
        for archive in {on_top(name) for name in files if "/" in name}:
            inside = {name.partition("/")[2]: files[name] for name in files if on_top(name) == archive}
            write_zip(unfinished / archive, inside)
        for name in (name for name in files if "/" not in name):
            shutil.copyfile(files[name], unfinished / name)
        write_json(unfinished / MANIFEST, manifest)
        write_text(unfinished / package.mark, package.sha256)
        shutil.rmtree(package.folder, ignore_errors=True)
        unfinished.rename(package.folder)
    except OSError as error:
        raise UserError(f"cannot write {package.folder}: {error.strerror or error}; free some space") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_metadata(package: Package, owner: str) -> Path:
    """`dataset-metadata.json`, with which the official client makes the dataset `owner/slug`. The licence is none of
    the open ones: the data of the competition went into the weights."""
    about = {"id": f"{owner}/{package.slug}", "title": package.title, "licenses": [{"name": "other"}]}
    write_json(package.folder / METADATA, about)
    return package.folder / METADATA


def check_package(folder: Path, sha256: str) -> dict[str, Any]:
    """The manifest of a package where Kaggle has mounted and unpacked it.

    Raises:
        UserError: it is another version, or files are missing or changed.
    """
    manifest = read_json(folder / MANIFEST)
    if manifest["sha256"] != sha256:
        raise UserError(f"{folder} is another version of the package than this notebook is for: attach the latest")
    expected = manifest["files"].items()
    if missing := [name for name, _ in expected if not (folder / name).is_file()]:
        raise UserError(f"{folder} lacks {listing(missing, 5)}: upload it again")
    if changed := [name for name, digest in expected if sha256_of_file(folder / name) != digest]:
        raise UserError(f"{folder} has other contents in {listing(changed, 5)}: upload it again")
    return manifest


def digest_of(content: Path | bytes) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_of_file(content)


def as_json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
