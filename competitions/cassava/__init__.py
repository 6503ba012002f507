"""Cassava leaf disease classification: photographs of leaves, four diseases or none. The write-up is in README.md."""

from common.competition import Competition, DataSet, SubmissionFormat
from common.recipe import PAPER, Recipe
from competitions import lazy

AS_PUBLISHED = PAPER.with_fields(
    # Both mirror images (the paper's section C.2), in RGB; the class-balanced split of seed 414.
    flips="both",
)

INTERVENTIONS = Recipe(
    # What leading solutions share, on the network of `paper`: 512 pixels, heavy augmentation with CutMix, targets
    # softened because labels are wrong, few epochs for the same reason, views averaged in prediction. What needs a run
    # is given on the command line: `--clean RUN` (drops suspicious labels, with `--suspects soften` doubts them),
    # `--pseudo RUN`.
    backbone="resnet50",
    drop_rate=0.3,
    drop_path=0.2,
    input_size=512,
    augment="heavy",
    flips="both",
    cutmix=1.0,
    loss="cross_entropy",
    label_smoothing=0.1,
    optimizer="adamw",
    learning_rate=1e-4,
    weight_decay=1e-2,
    schedule="cosine",
    warmup_epochs=1,
    epochs=10,
    batch_size=16,
    ema=0.999,
    split="folds",
    folds=5,
    tta="d4",
    decision="argmax",
)

WINNER = INTERVENTIONS.with_fields(
    # The first place (Hanke, 2021) averaged an EfficientNet-B4 (.895 alone), a MobileNet (.894), a ViT (.888) and more
    # to .913 (the paper's section 4.5). This is the strongest of them; how it was trained the paper does not say, so
    # that the rest is `interventions`. The others: `ensemble --recipe winner --backbones …`.
    backbone="tf_efficientnet_b4",
)

SAMPLE = Recipe(
    # The whole way in little: a small network from random weights on the sample data, two folds.
    backbone="resnet10t",
    weights="none",
    input_size=64,
    flips="both",
    label_smoothing=0.1,
    learning_rate=4e-3,
    schedule="onecycle",
    epochs=12,
    batch_size=16,
    split="folds",
    folds=2,
    tta="flips",
    decision="argmax",
)

COMPETITION = Competition(
    name="cassava",
    title="Cassava Leaf Disease Classification",
    slug="cassava-leaf-disease-classification",
    task="multiclass",
    classes=(
        "Cassava Bacterial Blight (CBB)",
        "Cassava Brown Streak Disease (CBSD)",
        "Cassava Green Mottle (CGM)",
        "Cassava Mosaic Disease (CMD)",
        "Healthy",
    ),
    metric="accuracy",
    takes="notebook",
    submission=SubmissionFormat("image_id", "label", "class"),
    read_train=lazy("competitions.cassava.data", "read_train"),
    read_test=lazy("competitions.cassava.data", "read_test"),
    read_external=lazy("competitions.cassava.data", "read_external"),
    downloads=(
        DataSet(
            name="cassava-2019",
            source="competitions/cassava-disease",
            holds="5,656 labelled leaves of 2019, the same five classes; 3,774 test and 12,595 unlabelled images are "
            "not read",
            licence="the competition's rules, to be accepted on its page",
        ),
    ),
    search={"loss": ("cross_entropy", "bce", "focal")},
    paper_split=lazy("competitions.cassava.data", "paper_split"),
    make_sample=lazy("competitions.cassava.sample", "make_sample"),
    recipes={"paper": AS_PUBLISHED, "interventions": INTERVENTIONS, "winner": WINNER, "sample": SAMPLE},
    leaderboard_lines={"first": 0.9132, "gold": 0.9013, "silver": 0.8992, "bronze": 0.8978, "median": 0.8909},
)
