# %% [markdown]
# # River or road? A competition of your own in ten minutes
#
# You have a folder of images and a question. How far is it to a trained network, a score that can be trusted, and a
# leaderboard? One declaration of about forty lines, most of which is written for you.
#
# The example is **sample data**: satellite tiles that this project draws in the style of EuroSAT, of which we keep four
# classes. Two of them are long, bent stripes: which is a river, and which is a road?

# %%
import os
import sys
from pathlib import Path

for folder in (Path.cwd(), *Path.cwd().parents):  # the repository, from wherever in it this was opened
    if (folder / "competitions" / "__main__.py").is_file():
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        break

# %% [markdown]
# ## A folder for each class
#
# The simplest layout there is. (A CSV of paths and labels is the other one that is understood, with a column of groups
# where some images belong together.)

# %%
import shutil

from common.options import Options
from common.sample import MARK
from competitions import load
from competitions.sources import source

drawn, home = source(load("eurosat"), Options(data="sample")).raw, Path("data/land-sample")
for name in ("Forest", "Highway", "Residential", "River"):
    shutil.copytree(drawn / "2750" / name, home / name, ignore=shutil.ignore_patterns("*.tif"), dirs_exist_ok=True)
shutil.copy(drawn / MARK, home)  # what was drawn stays sample data wherever it goes
{path.name: len(list(path.iterdir())) for path in sorted(home.iterdir()) if path.is_dir()}

# %% [markdown]
# ## The declaration
#
# `make new-competition NAME=land DATA=data/land-sample` would write this to `competitions/land/`. Here it goes to a
# temporary folder, so that your checkout stays as it was.

# %%
import tempfile

from competitions.new import texts

declaration = Path(tempfile.mkdtemp()) / "land.py"
declaration.write_text(texts("land", home)["__init__.py"])
print(declaration.read_text())

# %% [markdown]
# Read it over: everything in it is a decision, and two of them are yours.
#
# - **flips**: a satellite has no up. `"both"` mirror images mean the same here; for digits neither would.
# - **metric**: accuracy hides rare classes; `macro_f1` gives each the same weight.
#
# And one mistake is easy to make and hard to see: are there images that **belong together**? Tiles cut from one
# picture, frames of one night, photographs of one patient: give them a `group`, or validation will measure memory.

# %%
import runpy
from dataclasses import replace

competition = runpy.run_path(str(declaration))["COMPETITION"]
small = load("eurosat").recipes["sample"].with_fields(backbone="test_resnet", epochs=6, tta="flips")
competition = replace(competition, recipes={**competition.recipes, "small": small})
raw = source(competition, Options(data=str(home)))
raw.train.head(3)

# %%
import matplotlib.pyplot as plt

from common.pictures import image_grid
from common.reader import reader_of

read = reader_of(competition, channels=3)
some = raw.train.groupby("label").head(6).sort_values("label", kind="stable")
image_grid([read(path) for path in some["path"]], [competition.classes[label] for label in some["label"]], side=1.3)
plt.show()

# %% [markdown]
# ## Every verb works
#
# The verbs of the command line take the declaration as it is. Two small recipes, which differ in one decision: which
# mirror images mean the same.

# %%
from competitions.training import train_recipe

options = Options(data=str(home))
runs = {flips: train_recipe(competition, small.with_fields(flips=flips), raw, options) for flips in ("none", "both")}

# %% [markdown]
# ## Which is better, and by how much?
#
# Both predicted the same held-out tiles, so the interval that counts is that of the difference.

# %%
from common.paired import compare

compared = compare(competition, [[runs["none"]], [runs["both"]]])
gain, low, high = compared.difference(1, 0)
print(f"{raw.prefix}mirror images bring {gain:+.3f} (95% interval {low:+.3f} to {high:+.3f})")

figure, axes = plt.subplots(figsize=(6, 1.8), layout="constrained")
for row, score in enumerate(compared.scores):
    axes.plot(compared.interval(row), (row, row), color="#0072B2", linewidth=6, alpha=0.35)
    axes.plot(score, row, "o", color="#0072B2")
axes.set_yticks((0, 1), ("no mirror images", "all mirror images"))
axes.set(xlabel="accuracy on held-out tiles (95% interval)", ylim=(-0.6, 1.6), title="sample data, one seed")
plt.show()

# %% [markdown]
# *How to read it:* the bars may overlap and the difference still be beyond chance, or stand apart by luck of the seed,
# which no interval here contains. Another seed each (`--seed 1`) is the cheapest insurance.
#
# ## What is taken for what?

# %%
import pandas as pd

from common.pictures import confusion
from common.train.score import decided

run = max(runs.values(), key=lambda run: run.metrics["score"])
labels, decisions = decided(competition, run.recipe, pd.read_parquet(run.folder / "out_of_fold.parquet"))
confusion(labels, decisions, competition.classes)
plt.show()

# %% [markdown]
# ## A leaderboard of your own
#
# There is no test set, so `submit` holds a fifth of the images out, trains on the rest, and lets the **practice
# leaderboard** score what comes of it. Nobody but that server reads those labels.

# %%
from competitions import verbs

words = ["--data", str(home), "--recipe", "small", "--leaderboard", "practice"]
verbs.submit(competition, words)

# %% [markdown]
# ## What this can say, and what it cannot
#
# - It **can** say whether your question is answerable at all, in minutes, before anyone labels ten thousand images.
# - A practice score on a fifth of 306 images is a rough number: its public part is some twenty tiles, and the two
#   scores may lie far apart. The interval of cross-validation is the better guide.
# - What the network learned need not be what you meant: look at the most wrong images, as in
#   [notebook 2](2_train_and_read_a_run.ipynb), and at what the files give away, as in
#   [notebook 1](1_explore_a_competition.ipynb).
# - On drawn tiles all of this is practice. The way is the same on yours: `make new-competition NAME=… DATA=…`.
