# %% [markdown]
# # Train a recipe
#
# Everything comes from the inputs, for there is no internet here: the competition's data, and a private dataset with
# the source of the workbench, the weights to start from and the wheels that this image lacks. What is left in
# `runs/` is a run like any other: bring it back, and predict, blend or submit it there.

# %% tags=["parameters"]
COMPETITION = "aptos"
SLUG = "aptos2019-blindness-detection"
PACKAGE = "aptos-train-0123456789ab"
# The mark of the package's contents: another version of the dataset is refused.
SHA256 = ""
# The file in the dataset that the training starts from; empty: random weights.
WEIGHTS = ""
# What differs from the defaults.
RECIPE = {}

# %% [markdown]
# ## Find the inputs
#
# Kaggle mounts a dataset at `/kaggle/input/<slug>` or `/kaggle/input/datasets/<owner>/<slug>`, a competition at
# `/kaggle/input/<slug>` or `/kaggle/input/competitions/<slug>`.

# %%
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

INPUT, WORKING = Path("/kaggle/input"), Path("/kaggle/working")


def mounted(slug: str) -> Path:
    found = [path for depth in ("", "*/", "*/*/") for path in INPUT.glob(f"{depth}{slug}") if path.is_dir()]
    if not found:
        raise SystemExit(f"{slug} is not among the inputs of this notebook: attach it and run again")
    return found[0]


package, raw = mounted(PACKAGE), mounted(SLUG)
about = json.loads((package / "package.json").read_text())
print(package, raw, sep="\n")

# %% [markdown]
# ## Install what this image lacks
#
# From the wheels in the dataset; what is here in the right version stays.


# %%
def is_here(name: str, wanted: str) -> bool:
    try:
        return version(name) == wanted
    except PackageNotFoundError:
        return False


lacking = [f"{name}=={wanted}" for name, wanted in about["wheels"].items() if not is_here(name, wanted)]
if lacking:
    offline = ["--quiet", "--no-index", "--no-deps", "--find-links", str(package / "wheels")]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, *lacking], check=True)
print("installed:", ", ".join(lacking) or "nothing, all is here")

# %% [markdown]
# ## Check the package
#
# Every file must be what was packed. Weights count by their content, so that the run has the same id as it would have
# anywhere.

# %%
sys.path.insert(0, str(package / "source"))
os.environ["WEIGHTS_DIR"] = str(package)  # where weights 'imagenet' are looked for

from common.kaggle.package import check_package
from common.options import Options
from common.recipe import Recipe
from competitions import load
from competitions.sources import in_folder
from competitions.training import train_recipe

check_package(package, SHA256)
competition, recipe = load(COMPETITION), Recipe().with_fields(**RECIPE)
here = recipe if recipe.weights in ("imagenet", "none") else recipe.with_fields(weights=str(package / WEIGHTS))

# %% [markdown]
# ## Train
#
# The inputs are read-only and everything in the working folder is output, so that the prepared images go to a
# temporary folder.

# %%
options = Options(cache=Path(tempfile.gettempdir()) / "cache", runs=WORKING / "runs")
run = train_recipe(competition, here, in_folder(competition, raw), options)

# %% [markdown]
# ## What goes back
#
# The run, without what only a resumed training needs, and with the recipe as it was asked for.

# %%
run.update(recipe=recipe.to_dict())
for leftover in [run.folder / ".lock", *run.folder.glob("fold-*/last.state")]:
    leftover.unlink(missing_ok=True)
for path in sorted(path for path in run.folder.rglob("*") if path.is_file()):
    print(f"{path.stat().st_size:12,} {path.relative_to(WORKING)}")
