# %% [markdown]
# # Predict the test images with a trained run
#
# Everything comes from two inputs, for there is no internet here: the competition's data, and a private dataset with
# the run's weights, the source of the workbench and the wheels that this image lacks. What is written is
# `submission.csv`.

# %% tags=["parameters"]
COMPETITION = "aptos"
SLUG = "aptos2019-blindness-detection"
RUN = "0123456789ab"
PACKAGE = "aptos-run-0123456789ab"
# The mark of the package's contents: another version of the dataset is refused.
SHA256 = ""
# What Kaggle gives a notebook with a GPU; views and networks that do not fit are left out.
HOURS = 9.0

# %% [markdown]
# ## Find the inputs
#
# Kaggle mounts a dataset at `/kaggle/input/<slug>` or `/kaggle/input/datasets/<owner>/<slug>`, a competition at
# `/kaggle/input/<slug>` or `/kaggle/input/competitions/<slug>`.

# %%
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

STARTED = time.monotonic()
INPUT, WORKING = Path("/kaggle/input"), Path("/kaggle/working")


def mounted(slug: str) -> Path:
    found = [path for depth in ("", "*/", "*/*/") for path in INPUT.glob(f"{depth}{slug}") if path.is_dir()]
    if not found:
        raise SystemExit(f"{slug} is not among the inputs of this notebook: attach it and run again")
    return found[0]


package, raw = mounted(PACKAGE), mounted(SLUG)
about = json.loads((package / "package.json").read_text())
print(package, raw, about["cv"], sep="\n")

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
# Every file must be what was packed; the source is the one that trained the run.

# %%
sys.path.insert(0, str(package / "source"))

from common.kaggle.answer import answer
from common.kaggle.package import check_package
from common.options import Options
from common.run import find_run
from competitions import load

check_package(package, SHA256)
competition = load(COMPETITION)
run = find_run(package / "runs", COMPETITION, RUN)

# %% [markdown]
# ## Predict
#
# The inputs are read-only and everything in the working folder is output, so that the prepared images go to a
# temporary folder.

# %%
options = Options(cache=Path(tempfile.gettempdir()) / "cache")
submission = answer(competition, run, raw, WORKING / "submission.csv", options, hours=HOURS, started=STARTED)

# %% [markdown]
# ## The submission
#
# It was read again and fits the sample submission in columns, ids and values.

# %%
target = submission[competition.submission.target_column]
print(submission.head().to_string(index=False))
print((target.describe() if competition.submission.kind == "probability" else target.value_counts()).to_string())
