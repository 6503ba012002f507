# %% [markdown]
# # How far is it from the download to a score?
#
# The shortest honest way from a competition's zip to a number on a leaderboard, command by command. Each cell is one
# command of the terminal. It needs no account: the leaderboard is the **practice leaderboard**, a small server on this
# machine that speaks the protocol of Kaggle's official client, knows the labels of the test set, and nobody else does.
#
# The data are **sample data**: drawn skin lesions in the layout of SIIM-ISIC melanoma, one in ten malignant. A practice
# score on them is not a Kaggle score, and every line about one says so.

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
# ## Download
#
# With the official client, whoever the server is: for Kaggle, `make melanoma-download` once the rules are accepted.
# What is whole is not fetched again. The practice leaderboard hands out a copy of the sample data, which every verb
# also knows by the name `sample`.

# %%
from competitions.__main__ import main

main(["melanoma", "download", "--leaderboard", "practice"])

# %%
import pandas as pd

home = Path("data/melanoma-practice")
files = [path.relative_to(home) for path in home.rglob("*") if path.is_file() and not path.name.startswith(".")]
pd.Series([str(path.parent / f"*{path.suffix}") for path in files]).value_counts().rename("files").to_frame()

# %%
pd.read_csv(home / "train.csv").head(3)

# %% [markdown]
# ## Train
#
# One small network from random weights, four epochs, two folds, a patient's images never on both sides. For the real
# download the same command without `--recipe …` and what follows it takes the recipe `interventions`.

# %%
recipe = ["--recipe", "sample", "--backbone", "test_resnet", "--epochs", "4"]
main(["melanoma", "train", "--data", "sample", *recipe])

# %% [markdown]
# Cross-validation gives a score with an interval. Write it down *before* you look at the leaderboard: of the two it is
# the one on more images, and the one you did not pick a submission by.
#
# ## Submit
#
# One command: it finds the trained run, predicts the test set with both folds' networks and four views of each image,
# writes `submission.csv`, checks it against the sample submission, uploads, waits for the score, and notes it in the
# ledger. Killed anywhere, the same command goes on; run twice, it sends nothing twice: submissions are scarce.

# %%
main(["melanoma", "submit", "--data", "sample", "--leaderboard", "practice", *recipe])

# %% [markdown]
# What was sent, and how sure the network is:

# %%
import matplotlib.pyplot as plt

from common.kaggle.ledger import Ledger

row = [row for row in Ledger().rows("melanoma") if row.leaderboard == "practice" and row.state == "scored"][-1]
sent = pd.read_csv(row.file)
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.hist(sent["target"], bins=40, color="#0072B2")
axes.set(xlabel="probability of melanoma, as submitted", ylabel="test images", title=f"run {row.run_id}, sample data")
plt.show()

# %% [markdown]
# The metric is the area under ROC: it looks at the *order* of the probabilities alone. That most of them are small is
# right (one lesion in ten is malignant) and would not matter if it were not.
#
# ## Another one
#
# A second, different run, to see how cross-validation and leaderboard go together. It differs in one thing: mild
# augmentation.

# %%
other = [*recipe, "--augment", "heavy", "--strength", "0.5"]
main(["melanoma", "submit", "--data", "sample", "--leaderboard", "practice", *other])

# %% [markdown]
# ## Cross-validation beside the leaderboard
#
# The ledger keeps both for every submission.

# %%
main(["melanoma", "ledger"])

# %%
from common.options import Options
from common.run import find_run

rows = [row for row in Ledger().rows("melanoma") if row.leaderboard == "practice" and row.state == "scored"][-2:]
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
for height, row in enumerate(rows):
    low, high = find_run(Options().runs, "melanoma", row.run_id).metrics["interval"]
    axes.plot((low, high), (height, height), color="#0072B2", linewidth=6, alpha=0.35)
    axes.plot(row.cv_score, height, "o", color="#0072B2", label="cross-validation, 95% interval")
    axes.plot(row.public_score, height, "^", color="#D55E00", label="practice, public part")
    axes.plot(row.private_score, height, "s", color="#009E73", label="practice, private part")
handles, names = axes.get_legend_handles_labels()
figure.legend(handles[:3], names[:3], frameon=False, ncols=3, loc="outside lower center", fontsize=8)
axes.set_yticks(range(len(rows)), [row.run_id for row in rows])
axes.set(ylim=(-0.5, len(rows) - 0.5), xlabel="area under ROC", title="sample data, practice scores")
plt.show()

# %% [markdown]
# *To see:* cross-validation scores 800 images, the leaderboard 250, and its public part only some of those, with a
# handful of melanomas among them. Where the public and the private score of the *same* file lie apart, that is how far
# luck reaches; whoever chooses between runs by the public score chooses by that luck.
#
# ## What this can say, and what it cannot
#
# - It **can** say that the whole way works: the files and the format are right, nothing is trained on the test set.
# - A practice score says nothing about Kaggle's leaderboard. The test images are others, and here they are drawings.
# - Two runs do not show whether cross-validation can be trusted; the ledger computes the correlation from four on.
# - Competitions that take notebooks (APTOS, cassava) are submitted by the same command: it packs the run's weights and
#   this project's source as a private dataset, pushes a notebook that answers with them, and submits its output.
#
# With an account the way is `make melanoma-download`, `make melanoma-submit`.
#
# **Next:** [5, does ImageNet transfer?](5_does_imagenet_transfer.ipynb)
