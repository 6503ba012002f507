"""SIIM-ISIC melanoma classification: dermoscopy of skin lesions, malignant or not. The write-up is in README.md."""

from common.competition import Competition, DataSet, SubmissionFormat
from common.recipe import PAPER, Recipe
from common.tuning.space import Range
from competitions import lazy

DIAGNOSES = ("nevus", "melanoma", "BKL", "BCC", "SCC", "VASC", "DF", "AK", "unknown")
"""The nine of the first place (Ha, Liu and Liu, 2020, arXiv:2010.05351). 'unknown' is one of them: most lesions of 2020
were never given a name, and all of those are benign."""

AS_PUBLISHED = PAPER.with_fields(
    # 10 epochs and both mirror images (the paper's sections C.2 and D); the code leaves OpenCV's BGR as it is, and
    # draws from the tfrecord folds with seed 23.
    color_order="bgr",
    flips="both",
    epochs=10,
    decision="probability",
)

INTERVENTIONS = Recipe(
    # What the competition's first solutions share and the paper leaves out: larger inputs, heavy augmentation, age, sex
    # and site beside the image, the diagnosis as a second target, folds that keep a patient's images together, no early
    # stop (few positives make single epochs jump), eight views in prediction. What needs a folder or a run is given on
    # the command line: `--external FOLDER` (the earlier years), `--pseudo RUN`, `--clean RUN`.
    backbone="resnet50",
    pooling="gem",
    drop_rate=0.3,
    metadata=True,
    input_size=384,
    augment="heavy",
    flips="both",
    loss="cross_entropy",
    label_smoothing=0.05,
    auxiliary=0.5,
    optimizer="adamw",
    learning_rate=3e-4,
    weight_decay=1e-2,
    schedule="cosine",
    warmup_epochs=1,
    epochs=15,
    batch_size=64,
    ema=0.999,
    split="folds",
    folds=5,
    tta="d4",
    decision="probability",
)

WINNER = Recipe(
    # One of the eighteen networks of the first place (Ha, Liu and Liu, 2020), as its published code trains it:
    # EfficientNet-B4 at 640 pixels with metadata, nine diagnoses, Adam at 3e-4 after an epoch of warm-up, 15 epochs,
    # the eight symmetries of the square; the earlier years come with `--external FOLDER`. There P(melanoma) is one of
    # nine outputs; here the nine are a target beside. The others differ in network (B3 to B7, SE-ResNeXt-101,
    # ResNeSt-101) and size (384 to 896): `ensemble --how rank` averages their ranks.
    backbone="tf_efficientnet_b4",
    drop_rate=0.5,
    metadata=True,
    input_size=640,
    augment="heavy",
    flips="both",
    loss="cross_entropy",
    auxiliary=1.0,
    optimizer="adamw",
    learning_rate=3e-4,
    weight_decay=0.0,
    schedule="cosine",
    warmup_epochs=1,
    epochs=15,
    batch_size=64,
    split="folds",
    folds=5,
    tta="d4",
    decision="probability",
)

SMALL = Recipe(
    # A first honest number without a GPU: a small network of the paper at 160 pixels, minutes a fold on two cores.
    backbone="squeezenet1_1",
    input_size=160,
    flips="both",
    label_smoothing=0.05,
    learning_rate=5e-4,
    weight_decay=1e-2,
    schedule="onecycle",
    epochs=14,
    batch_size=32,
    split="folds",
    folds=5,
    tta="d4",
    decision="probability",
)

SAMPLE = Recipe(
    # The whole way in little: a small network from random weights on the sample data, two folds.
    backbone="resnet10t",
    weights="none",
    input_size=64,
    flips="both",
    learning_rate=4e-3,
    schedule="onecycle",
    epochs=10,
    batch_size=16,
    split="folds",
    folds=2,
    tta="flips",
    decision="probability",
)

ISIC_LICENCE = "CC BY-NC 4.0 (the ISIC archive's)"
RESIZED = tuple(
    DataSet(name, f"datasets/cdeotte/{slug}-{px}x{px}", f"{holds}, cut to a square of {px} px", ISIC_LICENCE, use)
    for px in (256, 384, 512, 768, 1024)
    for name, slug, holds, use in (
        (f"melanoma-{px}", "jpeg-melanoma", "training and test set with the paper's tfrecord folds", "data"),
        (f"isic-2019-{px}", "jpeg-isic2019", "25,331 images of 2017 to 2019 with their tfrecord folds", "external"),
    )
)
"""The competition's own download is above 100 GB; these are what people train on."""

COMPETITION = Competition(
    name="melanoma",
    title="SIIM-ISIC Melanoma Classification",
    slug="siim-isic-melanoma-classification",
    task="binary",
    classes=("benign", "malignant"),
    metric="roc_auc",
    takes="csv",
    submission=SubmissionFormat("image_name", "target", "probability"),
    read_train=lazy("competitions.melanoma.data", "read_train"),
    read_test=lazy("competitions.melanoma.data", "read_test"),
    read_external=lazy("competitions.melanoma.data", "read_external"),
    downloads=RESIZED,
    read_metadata=lazy("competitions.melanoma.metadata", "read_metadata"),
    read_auxiliary=lazy("competitions.melanoma.metadata", "read_auxiliary"),
    auxiliary_classes=DIAGNOSES,
    search={"loss": ("cross_entropy", "bce", "focal"), "auxiliary": Range(0.0, 1.0, step=0.25)},
    paper_split=lazy("competitions.melanoma.data", "paper_split"),
    make_sample=lazy("competitions.melanoma.sample", "make_sample"),
    recipes={
        "paper": AS_PUBLISHED,
        "interventions": INTERVENTIONS,
        "winner": WINNER,
        "small": SMALL,
        "sample": SAMPLE,
    },
    leaderboard_lines={"first": 0.9490, "gold": 0.9455, "silver": 0.9401, "bronze": 0.9370, "median": 0.9128},
)
