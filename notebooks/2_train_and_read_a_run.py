# %% [markdown]
# # A network is trained. How good is it, and how do you know?
#
# A score with four digits is easily had. What it is *of*, how far chance may have moved it, and what the network gets
# wrong is what decides the next step. This notebook trains one small network and reads its run from top to bottom.
#
# It runs on **sample data**: fundus photographs that this project draws in the layout of APTOS 2019. Its scores say how
# well a drawing programme was understood, and nothing about medicine or about Kaggle.

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
# ## The recipe
#
# Everything that decides a result stands in one recipe. What is not the default is what makes it this one.

# %%
from common.options import Options
from common.recipe import Recipe
from competitions import load
from competitions.sources import source

competition, options = load("aptos"), Options(data="sample")
raw, recipe = source(competition, options), competition.recipes["sample"].with_fields(epochs=8)
default = Recipe().to_dict()
{name: value for name, value in recipe.to_dict().items() if value != default[name]}

# %% [markdown]
# A ResNet of 10 layers from random weights, 64 pixels, two folds: small enough for a laptop. The grades are *regressed*
# with smooth L1, for they have an order. `decision="thresholds"` turns the number into a grade, by fitted cuts.
#
# ## Train
#
# Each fold trains on one half of the images and predicts the other: in the end every image is predicted by a network
# that has not seen it. Run the cell twice: the second time the finished run is found, for its id is the hash of
# competition, recipe and data.

# %%
from competitions.training import train_recipe

run = train_recipe(competition, recipe, raw, options)
sorted(path.name for path in run.folder.iterdir() if not path.name.startswith("."))

# %% [markdown]
# ## The curves

# %%
import matplotlib.pyplot as plt
import pandas as pd

curves = {folder.name: pd.read_csv(folder / "curve.csv") for folder in sorted(run.folder.glob("fold-*"))}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for (fold, curve), colour in zip(curves.items(), ("#0072B2", "#D55E00"), strict=True):
    left.plot(curve["epoch"], curve["train_loss"], "o-", ms=3, color=colour, label=fold)
    right.plot(curve["epoch"], curve["score"], "o-", ms=3, color=colour, label=fold)
    best = curve.loc[curve["score"].idxmax()]
    right.plot(best["epoch"], best["score"], "*", ms=12, color=colour)
left.set(xlabel="epoch", ylabel="training loss (smooth L1)", title="what it is taught")
right.set(xlabel="epoch", ylabel="kappa of the held-out half", title="what it has learned (star: kept)")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# *To see:* the loss falls from the start, the score does not rise with it. Early on every output lies near the mean
# grade and rounds to the same one, which kappa calls 0; then the outputs spread, and the score goes up in leaps. Two
# folds are at different heights in the same epoch: a *single* epoch of a *single* fold is a poor guide to whether one
# recipe beats another.
#
# The star is the epoch that is kept. It is chosen on the very rows that are scored, which flatters a little.
#
# ## From a number to a grade
#
# The network gives a number, the competition wants a grade. Where to cut?

# %%
held_out = pd.read_parquet(run.folder / "out_of_fold.parquet")
cuts = run.metrics["rule"]["cuts"]
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
by_grade = [held_out.loc[held_out["label"] == grade, "output"] for grade in range(len(competition.classes))]
axes.hist(by_grade, bins=50, stacked=True, label=competition.classes)
for cut in cuts:
    axes.axvline(cut, color="black", linewidth=1)
for half in (0.5, 1.5, 2.5, 3.5):
    axes.axvline(half, color="#777777", linewidth=1, linestyle=":")
axes.set(xlabel="output of the network", ylabel="held-out images", title="fitted cuts (black) and rounding (dotted)")
axes.legend(frameon=False, title="label")
plt.show()

# %% [markdown]
# The rare grades are pulled towards the common ones: a network that is unsure says something in the middle. Cuts that
# are fitted for the metric may make up for some of that. But cuts fitted on the rows that they then score would flatter
# themselves, so each fold is decided by cuts **fitted on the other fold**. Three ways to decide the same outputs:

# %%
from common.decide import Rule, fit_rule
from common.metrics import bootstrap_interval, quadratic_weighted_kappa
from common.train.score import decided

labels, nested = decided(competition, recipe, held_out)
outputs, k = held_out["output"].to_numpy(), len(competition.classes)
ways = {
    "rounded": Rule("round", k)(outputs),
    "fitted on the other fold": nested,
    "fitted on what it scores": fit_rule("thresholds", outputs, labels, k)(outputs),
}
table = {
    name: (quadratic_weighted_kappa(labels, way, k), *bootstrap_interval("quadratic_weighted_kappa", labels, way, k))
    for name, way in ways.items()
}
pd.DataFrame(table, index=["kappa", "95% from", "to"]).T.round(4)

# %% [markdown]
# The last row is what one would *like* to report, the middle one what may be reported: it is the score of this run.
# The intervals overlap widely, but the three decide the *same* images. So the question is the interval of the
# **difference**, in which what the decisions have in common drops out.

# %%
from common.paired import paired_values

compared = paired_values(competition, labels, list(ways.values()), held_out["id"].to_numpy())
for first, second in ((1, 0), (2, 1)):
    gain, low, high = compared.difference(first, second)
    names = list(ways)
    print(f"{names[first]} against {names[second]}: {gain:+.4f} (95% interval {low:+.4f} to {high:+.4f})")

# %% [markdown]
# The first line is what fitted cuts really bring. An interval that holds 0 means that these images cannot tell, and one
# below 0 that the cuts **harm**. They can: each fold has a network of its own, which after so few epochs spreads its
# outputs in its own way, and the cuts of one network need not fit the other. Rounding has nothing to fit. The second
# line is what the cuts *seem* to bring when they are scored on the rows they were fitted on: it is clearly above 0, and
# made of nothing.
#
# ## What is taken for what?

# %%
from common.pictures import confusion

confusion(labels, nested, competition.classes)
plt.show()

# %% [markdown]
# *To see:* most misses lie beside the diagonal, and "mild" is seldom found: a red dot or two at 64 pixels.
# Kappa weighs a miss by its square: one healthy eye taken for grade 4 costs as much as sixteen taken for grade 1.
#
# ## The worst of it
#
# The average says little about what to do next. The images that the network is most sure about, against their label,
# say a lot: some are hard, some are badly read (cropped, dark), and in real data some of the labels are wrong.

# %%
from common.pictures import image_grid
from common.reader import reader_of
from common.suspects import suspicious_rows

worst = suspicious_rows(run, competition, share=0.02).merge(raw.train[["id", "path"]])
read = reader_of(competition, channels=3)
titles = [f"label {row.label}, output {row.output:.1f}" for row in worst.itertuples()]
image_grid([read(path) for path in worst["path"]], titles)
plt.show()

# %% [markdown]
# ## What this can say, and what it cannot
#
# - The **interval** says how far *other images* of the same kind would move the score. It does not say how far another
#   *seed* would: for that the recipe has to be trained again (`--seed 1`; `ablate` does it for every intervention).
# - The score is held-out and nested. One choice is still made on the rows that it scores: the epoch.
# - Two folds train on half of the images each. The submission averages both networks, which usually does better.
# - Nothing here says how the network does on photographs from another clinic. Only such photographs do.
# - A low score of one epoch, one fold or one seed is not a finding. Ask for the interval of the difference.
#
# **Next:** [3, augmentation strength](3_augmentation_strength.ipynb).
