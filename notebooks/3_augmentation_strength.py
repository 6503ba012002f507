# %% [markdown]
# # How strong should augmentation be?
#
# "Use augmentation" is the advice in every write-up; how *much* of it rarely is. Too little and a small data set is
# learned by heart; too much and the network spends its epochs on pictures that nobody will ever show it. Strength is a
# number, so it can be searched. This notebook looks at the policies, lets **Optuna** search, and then asks the question
# that is usually left out: does the winner beat the default by more than chance?
#
# It runs on **sample data**: drawn fundus photographs in the layout of APTOS 2019, and on a very small network. What it
# finds holds for these drawings and this number of epochs; the *way* holds for any data.

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
# ## What does strength look like?
#
# A policy is a name and a strength: 0 leaves crop and mirror image alone, 1 is the policy as published, 2 goes twice as
# far. Each column is the same photograph with the same dice, so down a column the strength alone changes.

# %%
from IPython.display import Image

from common.augment import STRENGTHS, Policy, contact_sheet
from common.options import Options
from common.reader import reader_of
from competitions import load
from competitions.sources import source

competition, options = load("aptos"), Options(data="sample")
raw, read = source(competition, options), reader_of(competition, channels=3)
some = [read(path) for path in raw.train.groupby("label")["path"].first()]
sheet = options.runs / competition.name / "strength.png"
contact_sheet(some, [Policy("paper-aptos", flips="both"), Policy("heavy", flips="both")], STRENGTHS, 120, sheet)
Image(sheet)

# %% [markdown]
# *To see:* `paper-aptos` turns and recolours, which leaves every sign of the disease in the picture. `heavy` blurs and
# covers too: at strength 2 a black box may hide the only sign there is, and blur washes out the red dots. A policy that
# is right for cats need not be right for retinas: **an augmentation must not change the label**. We search the first.
#
# ## The question, written down
#
# A study is a recipe, the fields that may vary, and how to choose. The recipe as it stands is trial 0: everything is
# compared with it on the same held-out images. A strength of 0 is among the choices, so "none at all" may win.

# %%
from common.tuning.space import Range
from common.tuning.study import Question

recipe = competition.recipes["sample"].with_fields(
    backbone="test_resnet",  # a third of a million parameters, so that a trial takes seconds
    input_size=48,
    augment="paper-aptos",
    epochs=8,
    only_folds=(0,),
)
space = {"strength": Range(0.0, 2.0, step=0.5)}
question = Question(competition, recipe, space, raw.fingerprint, sampler="tpe", pruner="none")
question.name

# %% [markdown]
# `tpe` is Optuna's usual sampler: it looks at which values the better trials had in common. With one field and five
# values it comes round to all of them; it earns its keep with four fields. So does a pruner (`hyperband`), which stops
# trials whose first epochs fall behind: here every trial goes to its end, for we want the whole curve.
#
# ## Search
#
# Five trials. Each is a run in `runs/`; run the cell again and nothing is trained twice, and a study that was killed
# goes on.

# %%
from common.tuning.search import work
from common.tuning.study import opened
from competitions.tuning import trainer

TRIALS = 5
folder = options.runs / competition.name / "studies" / question.name
with opened(question, question.name, folder, url="") as (study, locks):
    work(question, study, locks, TRIALS, trainer(competition, raw, options))

# %% [markdown]
# ## What came of it

# %%
from common.tuning.report import found

result = found(question, study, options.runs)
shown = ["trial", "state", "strength", "score", "low", "high", "gain", "gain_low", "gain_high"]
result.trials[shown].sort_values("score", ascending=False).round(3)

# %%
# %matplotlib inline
import matplotlib.pyplot as plt

from common.tuning.figure import curve

default = result.trials.query("state == 'default'").iloc[0]
points = result.trials.dropna(subset=["score", "strength"]).sort_values("strength")
curve(points, "strength", competition.metric, [], default, log=False)

# %% [markdown]
# *How to read it:* each point is one run on the same 300 held-out images with its 95% interval; the dashed line and its
# band are the default. Where an interval overlaps the band, a point above the line may be luck. Where the curve falls
# off a cliff, look at the curves of those runs (notebook 2): a network that had hardly begun to learn when its epochs
# were over says that they were too few for so much augmentation, not that augmentation harms.
#
# ## Does the best one beat the default?
#
# The intervals above are of each score by itself. The two runs predicted the *same* images, so the sharper question is
# the interval of their **difference**.

# %%
from common.tuning.report import sentence

print(raw.prefix + sentence(question, result))

# %%
gains = result.trials.dropna(subset=["gain"]).query("state != 'default'").sort_values("gain")
figure, axes = plt.subplots(figsize=(6.5, 0.6 + 0.35 * len(gains)), layout="constrained")
ends = (gains["gain"] - gains["gain_low"], gains["gain_high"] - gains["gain"])
names = [f"strength {strength:g}" for strength in gains["strength"]]
axes.errorbar(gains["gain"], range(len(gains)), xerr=ends, fmt="o", capsize=3, color="#0072B2")
axes.axvline(0, color="#777777", linestyle="--", linewidth=1)
axes.set_yticks(range(len(gains)), names)
axes.set(xlabel="kappa gained on strength 1 (95% interval, paired)", title="sample data, one fold, one seed")
plt.show()

# %% [markdown]
# ## And on real images?
#
# Fang, Kornblith and Schmidt (2023) fine-tuned with AugMix and RandAugment in place of the usual crops, on real camera
# traps (CCT-20) and on the real APTOS. Their table is part of this project:

# %%
from common.study.augmentation import fine_tuning_gains

paper = fine_tuning_gains().query("pretraining == 'standard'").pivot(index="model", columns="dataset")
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
for row, (how, data_set) in enumerate((how, name) for how in ("augmix", "randaugment") for name in ("cct20", "aptos")):
    gain = 100 * paper[how, data_set]
    axes.plot(gain, [row] * len(gain), "o", alpha=0.7, label=data_set)
    axes.plot(gain.mean(), row, "k|", ms=18)
axes.axvline(0, color="#777777", linestyle="--", linewidth=1)
axes.set_yticks(range(4), [f"{how}, {name}" for how in ("AugMix", "RandAugment") for name in ("CCT-20", "APTOS")])
axes.set(xlabel="gained by fine-tuning with it, points (bar: mean over networks)", title="the paper's networks")
plt.show()

# %% [markdown]
# ## What this can say, and what it cannot
#
# - It **can** say which of these values did best *here*, and whether that is beyond what other images would change.
# - One seed a trial: how far another seed would move a score is **not** in the intervals (`--seeds 3` asks for it, at
#   three times the cost).
# - The best of five is partly the luckiest of five: the score it shows is a little too good.
# - Strong augmentation pays off late. What wins after eight epochs is not what wins after eighty: search at the length
#   that you will train at, or confirm there.
#
# The same from a terminal, on the real thing, with as many workers as there are machines:
# `make aptos-tune ARGS="--search augment strength --trials 40"`.
#
# **Next:** [4, from download to submission](4_from_download_to_submission.ipynb).
