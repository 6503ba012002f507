# %% [markdown]
# # Does a better ImageNet model help on your data?
#
# Every year brings a backbone with another point of ImageNet accuracy. Fang, Kornblith and Schmidt, *Does progress on
# ImageNet transfer to real-world datasets?* (2023), fine-tuned 19 of them on six data sets that nobody scraped from the
# web: camera traps, retinas, protein microscopy, leaves, skin lesions, satellite tiles. This notebook asks their
# question of their published tables, and then asks how sure one can be of the answer.
#
# These are **the paper's numbers**, from real images. Nothing is trained here.

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
# ## The table
#
# One row a model, one column a data set; every score is a fraction, by the metric of its competition.

# %%
from common.study import tables

scores = tables.scores()
scores.sort_values("imagenet_top1").round(3)

# %% [markdown]
# ## The picture
#
# Solid: the models above 70% ImageNet top-1, which the line goes through. The band says where the line might lie with
# *other models* of the same kind (95%, bootstrap).

# %%
import matplotlib.pyplot as plt

from common.study.figures import STYLE
from common.study.figures.transfer import transfer

with plt.style.context(STYLE):
    transfer(scores, above=0.7)
    plt.show()

# %% [markdown]
# *To see:* over the whole width, from AlexNet to EfficientNet B4, better ImageNet models are better nearly everywhere.
# Within the solid ones, where today's choice is made, it is another picture: in most panels the band has room for a
# line that rises, one that lies flat and one that falls.
#
# ## In numbers
#
# `slope`: what one point of ImageNet accuracy brings in points of the data set's score. The paper's own value stands
# beside ours, recomputed from its table; `reason` says what explains a difference.

# %%
from common.study.verbs import trend

report = trend(None, above=0.7, scale="raw")
report.rows.round(3)

# %% [markdown]
# A slope whose interval (`low` to `high`) holds 0 is not known to have a sign: that is the case everywhere but on
# melanoma, where a point of ImageNet accuracy goes with 0.06 points of area under ROC.
#
# ## It depends on where you start the line
#
# 70% is a choice. The same correlations, for every place where one might begin:

# %%
import numpy as np

from common.study.trend import trend as trend_above

starts = np.arange(0.55, 0.781, 0.01)
correlations = [trend_above(scores, above=start)["correlation"] for start in starts]
figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name in tables.real_world(scores):
    axes.plot(100 * starts, [values[name] for values in correlations], label=tables.titles()[name])
axes.axhline(0, color="#777777", linewidth=1)
axes.axvline(70, color="#777777", linewidth=1, linestyle=":")
axes.set(xlabel="models above this ImageNet top-1 (%)", ylabel="correlation with ImageNet top-1", ylim=(-1, 1))
axes.legend(frameon=False, loc="lower left", ncols=2)
plt.show()

# %% [markdown]
# *To see:* with the old, small networks in, ImageNet accuracy looks like a good guide to all six. The further right one
# begins, the fewer the models and the wilder the curves; where they cross 0, the same table tells the opposite story. A
# headline that needs one particular threshold is not a strong one. The paper says where its own begins, and why.
#
# ## One model less
#
# How much hangs on a single model? Leave each out in turn (those above 70%).

# %%
above = scores[scores["imagenet_top1"] > 0.7]
whole = trend_above(above)["correlation"]
without = {model: trend_above(above.drop(index=model))["correlation"] for model in above.index}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for row, name in enumerate(whole.index):
    left_out = [values[name] for values in without.values()]
    axes.plot(left_out, [row] * len(left_out), "o", color="#0072B2", alpha=0.5, ms=5)
    axes.plot(whole[name], row, "k|", ms=18)
    weighty = max(without, key=lambda model, name=name: abs(without[model][name] - whole[name]))
    axes.annotate(weighty, (without[weighty][name], row), (0, 8), textcoords="offset points", ha="center", size=7)
axes.axvline(0, color="#777777", linestyle="--", linewidth=1)
axes.set_yticks(range(len(whole)), [tables.titles()[name] for name in whole.index])
axes.set(xlabel="correlation with one model left out (bar: with all; named: the weightiest)", ylim=(-0.5, 5.8))
axes.margins(x=0.12)
plt.show()

# %% [markdown]
# *To see:* on four of the six data sets one small transformer, DeiT-tiny, holds up the left end of the line. Without it
# the correlation is about 0 or below.
#
# ## Is there a better guide than ImageNet?
#
# The other data sets. For each target: does the average over the *other five* tell more than ImageNet top-1 does, once
# the other is known? (Nested-model F-tests, the paper's appendix N; a small p says that it adds something.)

# %%
from common.study.f_test import f_test

tests = f_test(scores)
tests[["p_adding_average", "p_adding_imagenet", "adjusted_r2_imagenet", "adjusted_r2_average"]].round(3)

# %%
from common.study.averages import average

ranks = average(scores).rank(ascending=False).astype(int).to_frame("rank by the average")
ranks["rank by ImageNet"] = scores["imagenet_top1"].rank(ascending=False).astype(int)
figure, axes = plt.subplots(figsize=(5.5, 4.8), layout="constrained")
for model, (by_average, by_imagenet) in ranks.iterrows():
    moved = abs(by_average - by_imagenet) >= 5
    axes.plot((0, 1), (by_imagenet, by_average), "o-", color="#D55E00" if moved else "#999999", ms=4)
    axes.text(1.04, by_average, model, va="center", size=7.5)
axes.set_xticks((0, 1), ("by ImageNet", "by the average\nof six data sets"))
axes.set(ylabel="rank", xlim=(-0.15, 1.75), yticks=(1, 5, 10, 15, 19))
axes.invert_yaxis()
plt.show()

# %% [markdown]
# *To see:* orange models move by five ranks or more. Choosing a backbone by ImageNet alone is not choosing badly; it is
# choosing by one data set of seven.
#
# ## What this can say, and what it cannot
#
# - 19 models, one training each at its best setting: the intervals are over **models**, not over seeds. Differences of
#   tenths of a point may be chance.
# - Correlation over models says nothing about *why*: size, pre-training recipe and year all rise together.
# - "No trend beyond noise" on a data set is not "no progress": other interventions (resolution, augmentation, external
#   data) moved APTOS by more than all backbones together. See `python -m common.study aptos`.
# - The tables are rounded. Where a digit of the paper cannot be had from them, `reason` says so.
#
# **Your own backbone** beside these 19: `make transfer MODEL=name` fine-tunes it on what is in `data/` and places it
# among them, and `python -m common.study leaderboard --results FILE` ranks it.
#
# **Next:** [6, a competition of your own](6_a_competition_of_your_own.ipynb).
