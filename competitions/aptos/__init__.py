"""APTOS 2019 blindness detection: retina photographs graded 0 to 4. The write-up is in README.md."""

from common.competition import Competition, DataSet, SubmissionFormat
from common.recipe import PAPER, Recipe
from competitions import lazy

AS_PUBLISHED = PAPER.with_fields(
    # The code leaves OpenCV's BGR as it is, and draws the class-balanced split with seed 414.
    color_order="bgr",
)

INTERVENTIONS = Recipe(
    # The paper's Appendix F (512 pixels, rotations and colour jitter, AdamW at 1e-4) with what the winner added (grades
    # regressed with smooth L1, GeM pooling) and the crop that did best in public ablations. Decay 1e-2 is what the
    # paper's best ResNet-50 cell, 1e-6 over a rate of 1e-4, comes to without the division. What needs a folder or a run
    # is given on the command line: `--external FOLDER` (the 2015 photographs), `--pseudo RUN`, `--clean RUN`.
    backbone="resnet50",
    pooling="gem",
    preparation="circle",
    input_size=512,
    augment="paper-aptos",
    flips="both",
    loss="smooth_l1",
    optimizer="adamw",
    learning_rate=1e-4,
    weight_decay=1e-2,
    schedule="cosine",
    warmup_epochs=1,
    epochs=20,
    batch_size=32,
    ema=0.995,
    split="folds",
    folds=5,
    tta="flips",
    decision="thresholds",
)

WINNER = INTERVENTIONS.with_fields(
    # The first place (Xu, 2019) averaged eight networks of four kinds at 384 and 512 pixels, all trained alike: images
    # resized and nothing else, colour, blur, affine and mirror images, smooth L1, GeM, the 2015 photographs
    # (`--external FOLDER`), then once more on its own predictions of other pictures (`--pseudo RUN`). This is the
    # network that the paper quotes from it, .927 alone. Optimizer, folds and views are those of `interventions`.
    backbone="inception_resnet_v2",
    preparation="plain",
    augment="heavy",
)

SAMPLE = Recipe(
    # The whole way in little: a small network from random weights on the sample data, two folds.
    backbone="resnet10t",
    weights="none",
    input_size=64,
    flips="both",
    loss="smooth_l1",
    learning_rate=4e-3,
    schedule="onecycle",
    epochs=12,
    batch_size=16,
    split="folds",
    folds=2,
    tta="flips",
    decision="thresholds",
)

COMPETITION = Competition(
    name="aptos",
    title="APTOS 2019 Blindness Detection",
    slug="aptos2019-blindness-detection",
    task="ordinal",
    classes=("no retinopathy", "mild", "moderate", "severe", "proliferative"),
    metric="quadratic_weighted_kappa",
    takes="notebook",
    submission=SubmissionFormat("id_code", "diagnosis", "class"),
    read_train=lazy("competitions.aptos.data", "read_train"),
    read_test=lazy("competitions.aptos.data", "read_test"),
    read_external=lazy("competitions.aptos.data", "read_external"),
    downloads=(
        DataSet(
            name="retinopathy-2015",
            source="datasets/tanlikesmath/diabetic-retinopathy-resized",
            holds="the 35,126 training photographs of 2015, same scale of grades, at most 1,024 px, twice: whole, "
            "which are read, and cropped to the eye",
            licence="not stated by their hosts; the rules of the 2015 competition",
        ),
        DataSet(
            name="retinopathy-2015-full",
            source="competitions/diabetic-retinopathy-detection",
            holds="the same at full size, about 35 GB to fetch, and 53,576 test photographs, about 49 GB, whose labels "
            "(retinopathy_solution.csv) were published apart and are read where they lie in the folder",
            licence="the competition's rules, to be accepted on its page",
        ),
    ),
    search={
        "preparation": ("plain", "circle", "ben-graham"),
        "loss": ("smooth_l1", "l1", "mse"),
        "decision": ("round", "thresholds", "prevalence"),
    },
    paper_split=lazy("competitions.aptos.data", "paper_split"),
    make_sample=lazy("competitions.aptos.sample", "make_sample"),
    recipes={"paper": AS_PUBLISHED, "interventions": INTERVENTIONS, "winner": WINNER, "sample": SAMPLE},
    leaderboard_lines={"first": 0.936, "gold": 0.9305, "silver": 0.9197, "bronze": 0.9145, "median": 0.889},
)
