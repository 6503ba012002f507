"""CIFAR-10, the control: web images of ten things, on which better ImageNet networks do better. See README.md."""

from common.competition import Competition, SubmissionFormat
from common.recipe import PAPER, Recipe
from competitions import lazy

INTERVENTIONS = Recipe(
    # The control for the other competitions' interventions, not a way to the best known score: what they share
    # (RandAugment, decay as named, warm-up, averaged weights, mirrored views) under the protocol of `paper`.
    backbone="resnet50",
    input_size=256,
    augment="randaugment",
    flips="horizontal",
    optimizer="adamw",
    learning_rate=1e-4,
    weight_decay=1e-2,
    schedule="cosine",
    warmup_epochs=1,
    epochs=30,
    batch_size=128,
    ema=0.995,
    split="paper",
    tta="flip",
    decision="argmax",
)

SMALL = Recipe(
    # A first number without a GPU: a small network of the paper on images enlarged to 64 pixels.
    backbone="squeezenet1_1",
    input_size=64,
    flips="horizontal",
    learning_rate=5e-4,
    weight_decay=1e-2,
    schedule="onecycle",
    epochs=4,
    batch_size=64,
    split="paper",
    tta="flip",
    decision="argmax",
)

SAMPLE = Recipe(
    # The whole way in little: a small network from random weights on the sample data, two folds.
    backbone="resnet10t",
    weights="none",
    input_size=32,
    flips="horizontal",
    learning_rate=4e-3,
    schedule="onecycle",
    epochs=12,
    batch_size=16,
    split="folds",
    folds=2,
    tta="flip",
    decision="argmax",
)

COMPETITION = Competition(
    name="cifar10",
    title="CIFAR-10",
    task="multiclass",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    metric="accuracy",
    takes="practice",
    labelled_test=True,
    submission=SubmissionFormat("id", "label", "class"),
    read_train=lazy("competitions.cifar10.data", "read_train"),
    read_test=lazy("competitions.cifar10.data", "read_test"),
    paper_split=lazy("competitions.cifar10.data", "paper_split"),
    make_sample=lazy("competitions.cifar10.sample", "make_sample"),
    # The paper's Appendix E runs its grid on CIFAR-10 as it stands, images enlarged to 256. In RGB: CIFAR-10 is not in
    # the list of data sets that the code leaves in BGR.
    recipes={"paper": PAPER, "interventions": INTERVENTIONS, "small": SMALL, "sample": SAMPLE},
)
