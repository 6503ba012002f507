# %% [markdown]
# # What is in the box, and what in it could fool us?
#
# An hour with the data is worth a week of training. Before any network is trained, this notebook asks six questions
# of a competition's download: how the classes are spread, what a trivial answer scores, what the images look like,
# whether their *files* give the answer away, whether some images are copies of others, and whether the folds are fair.
#
# It runs on **sample data**: fundus photographs that this project draws in the layout of APTOS 2019, so that no account
# is needed. No eye was photographed for them. Point `DATA` at the real download and every cell runs as it is.

# %%
import os
import sys
from pathlib import Path

for folder in (Path.cwd(), *Path.cwd().parents):  # the repository, from wherever in it this was opened
    if (folder / "competitions" / "__main__.py").is_file():
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        break

# %%
COMPETITION = "aptos"  # or cassava, cct20, cifar10, eurosat, melanoma
DATA = "sample"  # or the folder (or .zip) of the real download

# %% [markdown]
# ## One table
#
# Whatever a competition's download looks like, it becomes one table: an id, a path, a label, and a `group` where some
# images belong together (a patient, a camera, a night). Everything later starts from this table.

# %%
from common.options import Options
from competitions import load
from competitions.sources import source

competition, options = load(COMPETITION), Options(data=DATA)
raw = source(competition, options)
train = raw.train
what = raw.mark or "the real download"
print(f"{competition.title}, {what}: {len(train):,} training images, scored by {competition.metric}")
train.head()

# %% [markdown]
# ## How are the classes spread?

# %%
import matplotlib.pyplot as plt
import numpy as np

counts = train["label"].value_counts().reindex(range(len(competition.classes)), fill_value=0)
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
bars = axes.barh(competition.classes, counts, color="#0072B2")
axes.bar_label(bars, [f"{count:,} ({count / len(train):.0%})" for count in counts], padding=3)
axes.invert_yaxis()
axes.set_xlim(0, 1.25 * counts.max())
axes.set_xlabel("training images")
axes.set_title(f"{COMPETITION}, {what}")
plt.show()
# %% [markdown]
# Half of the photographs show a healthy eye, one in twenty the severe stage. Two things follow. Folds have to be
# *balanced*, or a fold may hold almost none of the rare grades. And a score has to be read against the right zero,
# which is the next question.
#
# ## What does knowing nothing score?
#
# The same three lazy answers, by two metrics.

# %%
import pandas as pd

from common.metrics import accuracy, quadratic_weighted_kappa

random, k = np.random.default_rng(0), len(competition.classes)
labels = train["label"].to_numpy()
lazy = {
    "always the commonest class": np.full(len(labels), counts.argmax()),
    "always the class in the middle": np.full(len(labels), k // 2),
    "shuffled labels": random.permutation(labels),
}
pd.DataFrame(
    {
        "accuracy": {name: accuracy(labels, answer, k) for name, answer in lazy.items()},
        "kappa": {name: quadratic_weighted_kappa(labels, answer, k) for name, answer in lazy.items()},
    }
).round(3)

# %% [markdown]
# By accuracy the laziest answer of all looks half right. **Quadratic weighted kappa** gives every constant answer 0: it
# counts agreement *beyond chance*, and a miss by two grades four times as much as a miss by one. That is why APTOS is
# scored by it, and why a validation score of 0.3 there is something and an accuracy of 0.5 is nothing.
#
# ## What do the images look like?

# %%
from common.pictures import image_grid
from common.reader import reader_of

read, columns = reader_of(competition, channels=3), 6
some = train.groupby("label").head(columns).sort_values("label", kind="stable")
titles = [competition.classes[label] for label in some["label"]]
image_grid([read(path)[..., :3] for path in some["path"]], titles, columns)
plt.show()
# %% [markdown]
# *To see:* cameras differ. Some frames show the whole retina in a wide black surround, in others it is cut above and
# below, some are tight crops. The signs of the disease are **small** next to all that: red dots, yellow specks. A
# network that looks at 64 pixels cannot see most of them, and one that is shown the surround spends pixels on nothing
# (`--preparation circle` crops it, `--input-size` buys detail).
#
# ## Do the files give the answer away?
#
# In more than one competition the *shape* of the frame or the *size* of the file told the class, because each clinic
# sent its own kind of patient and had its own camera. A network finds such a shortcut at once, and it does not hold
# anywhere else. The test: predict the label from the file alone, by a small tree, cross-validated.

# %%
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

sizes = np.array([read.size(path) for path in train["path"]])
facts = pd.DataFrame(
    {
        "height": sizes[:, 0],
        "width": sizes[:, 1],
        "width / height": sizes[:, 1] / sizes[:, 0],
        "bytes": [Path(path).stat().st_size for path in train["path"]],
        "bytes a pixel": [Path(path).stat().st_size for path in train["path"]] / sizes.prod(axis=1),
    }
)
tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, class_weight="balanced", random_state=0)
told = {name: cross_val_predict(tree, facts[[name]], labels, cv=5) for name in facts}
told["all of them"] = cross_val_predict(tree, facts, labels, cv=5)

# %%
from common.metrics import bootstrap_interval

kappas = {name: quadratic_weighted_kappa(labels, guess, k) for name, guess in told.items()}
ends = [bootstrap_interval("quadratic_weighted_kappa", labels, guess, k, replicates=300) for guess in told.values()]
low, high = np.abs(np.array(ends).T - list(kappas.values()))
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.errorbar(list(kappas.values()), list(kappas), xerr=(low, high), fmt="o", capsize=3, color="#D55E00")
axes.axvline(0, color="#777777", linestyle="--", linewidth=1)
axes.set_xlabel("kappa of a tree that sees no pixel (95% interval)")
axes.set_title(f"{COMPETITION}, {what}")
plt.show()
# %% [markdown]
# *How to read it:* an interval that holds 0 says that this tree learned nothing from that fact of the file. One that
# lies clearly above 0 is a shortcut that a network will find too. It need not be an error: more lesions make a busier
# picture, and a busier picture makes a larger PNG. But what *only* the camera decides (height, width) should not tell
# the grade of a disease. Where it does, crop and resize all images alike before a network sees them.
#
# One caution: six intervals were drawn, and where there is nothing to find about one in twenty misses 0 by chance. The
# programme that drew the sample data chose heights without a look at the grade: what stands out there *is* chance. Ask
# a second sample of the data before believing a small effect.
#
# ## Are some images copies of others?
#
# A copy on the other side of a split turns validation into memory. Images are compared by a **perceptual hash**: 256
# bits that stay nearly the same when an image is compressed again or resized. Different images differ in about 128.

# %%
from common.data import prepared
from common.duplicates import AT_MOST, distances, hashes, words

recipe = competition.recipes["sample"]
bits = words(hashes(prepared(competition, train.assign(source="train"), recipe, options)[0]))
apart = distances(bits, bits).astype(int)
np.fill_diagonal(apart, 999)
nearest = apart.min(axis=1)

figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.hist(nearest, bins=np.arange(0, 132, 4), color="#009E73")
axes.axvline(AT_MOST, color="#D55E00", linestyle="--", label=f"copies: {AT_MOST} bits or fewer")
axes.set_xlabel("bits to the most similar other training image")
axes.set_ylabel("images")
axes.legend(frameon=False)
plt.show()
print(f"{(nearest <= AT_MOST).sum()} of {len(train):,} training images have a copy")

# %% [markdown]
# The most similar pairs are worth a look by eye, whatever the threshold says:

# %%
pairs = [(i, apart[i].argmin()) for i in np.argsort(nearest, kind="stable")]
pairs = list(dict.fromkeys(tuple(sorted(map(int, pair))) for pair in pairs))[:3]
shown = [i for pair in pairs for i in pair]
titles = [f"{apart[pair]} bits, grade {labels[i]}" for pair in pairs for i in pair]
image_grid([read(train["path"][i])[..., :3] for i in shown], titles)
plt.show()
# %% [markdown]
# ## Are the folds fair?
#
# Rows of one group never lie on two sides, and every fold gets its share of every class.

# %%
from common.data import balanced_folds

folds = balanced_folds(competition, train, k=5, seed=0)
table = pd.crosstab(folds, [competition.classes[label] for label in labels], rownames=["fold"], colnames=["class"])
print(f"groups: {train['group'].nunique():,}" if "group" in train else "no groups: every image is its own")
table[[name for name in competition.classes if name in table]]

# %% [markdown]
# ## What this can say, and what it cannot
#
# - It **can** say that a split is balanced, that no near copy sits on both sides, and whether the file itself tells the
#   label. Each of these has decided competitions.
# - It **cannot** say that there is no leak: images of one patient need not look alike, and nothing in a pixel says who
#   was photographed. Where the download names patients, cameras or places, they are the `group`.
# - The hash does not find crops or turned copies, and frames of one fixed camera all look like copies to it.
# - On sample data all of this says something about a drawing programme. Run it on the real download.
#
# **Next:** [2, train and read a run](2_train_and_read_a_run.ipynb).
