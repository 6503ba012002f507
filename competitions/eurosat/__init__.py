"""EuroSAT: satellite tiles, ten kinds of land, in RGB or in thirteen bands. The write-up is in README.md."""

from common.competition import Competition, DataSet, SubmissionFormat
from common.recipe import PAPER, Recipe
from competitions import lazy

AS_PUBLISHED = PAPER.with_fields(
    # 224 whatever the network and no mirror images (the paper's section C.2); the class-balanced split of seed 42.
    input_size=224,
    flips="none",
)

INTERVENTIONS = Recipe(
    # A tile has no up: both mirror images in training, all symmetries of the square in prediction. A smaller network
    # than the paper's would do, for all of them reach 99%.
    backbone="resnet50",
    input_size=224,
    augment="base",
    flips="both",
    cutmix=1.0,
    label_smoothing=0.1,
    optimizer="adamw",
    learning_rate=3e-4,
    weight_decay=1e-2,
    schedule="cosine",
    warmup_epochs=1,
    epochs=20,
    batch_size=64,
    ema=0.999,
    split="folds",
    folds=5,
    tta="d4",
    decision="argmax",
)

BANDS = INTERVENTIONS.with_fields(channels=13)
"""The same on the .tif tiles: what the eye does not see (near and short-wave infrared) tells plants apart."""

SMALL = Recipe(
    # A first number without a GPU: a small network of the paper on tiles enlarged to 128 pixels. `--channels 13` reads
    # the bands.
    backbone="squeezenet1_1",
    input_size=128,
    flips="both",
    learning_rate=5e-4,
    weight_decay=1e-2,
    schedule="onecycle",
    epochs=15,
    batch_size=16,
    split="folds",
    folds=5,
    tta="d4",
    decision="argmax",
)

SAMPLE = Recipe(
    # The whole way in little: a small network from random weights on the sample data, two folds.
    backbone="resnet10t",
    weights="none",
    input_size=64,
    flips="both",
    learning_rate=4e-3,
    schedule="onecycle",
    epochs=12,
    batch_size=16,
    split="folds",
    folds=2,
    tta="d4",
    decision="argmax",
)

COMPETITION = Competition(
    name="eurosat",
    title="EuroSAT land use and land cover",
    task="multiclass",
    classes=(
        "AnnualCrop",
        "Forest",
        "HerbaceousVegetation",
        "Highway",
        "Industrial",
        "Pasture",
        "PermanentCrop",
        "Residential",
        "River",
        "SeaLake",
    ),
    metric="accuracy",
    takes="practice",
    submission=SubmissionFormat("id", "label", "class"),
    read_train=lazy("competitions.eurosat.data", "read_train"),
    read_image=lazy("competitions.eurosat.bands", "read_image"),
    image_files=lazy("competitions.eurosat.bands", "files"),
    downloads=(
        DataSet(
            name="eurosat",
            source="https://zenodo.org/records/7711810",
            holds="27,000 tiles in RGB (EuroSAT_RGB.zip, 95 MB) or in 13 bands (EuroSAT_MS.zip, 2 GB)",
            licence="MIT",
            use="data",
            how="fetch EuroSAT_RGB.zip or EuroSAT_MS.zip, and point DATA at the file: it is unpacked below data/",
        ),
    ),
    paper_split=lazy("competitions.eurosat.data", "paper_split"),
    make_sample=lazy("competitions.eurosat.sample", "make_sample"),
    recipes={"paper": AS_PUBLISHED, "interventions": INTERVENTIONS, "bands": BANDS, "small": SMALL, "sample": SAMPLE},
)
