"""Human Protein Atlas: where in the cell a protein is, 28 places, several a picture. The write-up is in README.md."""

from common.competition import Competition, DataSet, SubmissionFormat
from common.recipe import PAPER, Recipe
from competitions import lazy

CLASSES = (
    "Nucleoplasm",
    "Nuclear membrane",
    "Nucleoli",
    "Nucleoli fibrillar center",
    "Nuclear speckles",
    "Nuclear bodies",
    "Endoplasmic reticulum",
    "Golgi apparatus",
    "Peroxisomes",
    "Endosomes",
    "Lysosomes",
    "Intermediate filaments",
    "Actin filaments",
    "Focal adhesion sites",
    "Microtubules",
    "Microtubule ends",
    "Cytokinetic bridge",
    "Mitotic spindle",
    "Microtubule organizing center",
    "Centrosome",
    "Lipid droplets",
    "Plasma membrane",
    "Cell junctions",
    "Mitochondria",
    "Aggresome",
    "Cytosol",
    "Cytoplasmic bodies",
    "Rods & rings",
)

AS_PUBLISHED = PAPER.with_fields(
    # Yellow is dropped and the other colours are left in OpenCV's order; both mirror images, thresholds on the
    # validation rows of the published stratified split (the paper's sections 4.3 and C).
    channels=3,
    color_order="bgr",
    flips="both",
    loss="bce",
    decision="thresholds",
)

INTERVENTIONS = Recipe(
    # What leading solutions share: 512 pixels, all four colours, focal and Lovász loss, rare classes drawn more often,
    # DenseNet-121 (the first place's, and the best of the paper's nineteen here) with average and maximum pooling,
    # thresholds that match the classes' prevalence (first and third place), test-time views, folds. `heavy` on four
    # channels bends, turns and occludes, and leaves the colours alone: each is a stain. What needs a folder or a run is
    # given on the command line: `--external FOLDER` (the public Atlas), `--clean RUN`, `--pseudo RUN`.
    backbone="densenet121",
    pooling="avgmax",
    input_size=512,
    channels=4,
    augment="heavy",
    flips="both",
    loss="focal_lovasz",
    class_balance=0.5,
    optimizer="adamw",
    learning_rate=3e-4,
    weight_decay=1e-2,
    schedule="cosine",
    warmup_epochs=1,
    epochs=25,
    batch_size=32,
    ema=0.995,
    split="folds",
    folds=5,
    tta="d4",
    decision="prevalence",
)

WINNER = Recipe(
    # The first place's network (bestfitting), as its published code trains it: DenseNet-121 behind average and maximum
    # pooling, dropout, four colours, mirror images and quarter turns, focal and Lovász loss, Adam at 3e-4 for 45 epochs
    # (its rate is a tenth from epoch 35 on), gradients clipped, five folds, cuts at the classes' shares in training. It
    # looks at 1024 pixels of the full-size pictures; this at the 512 of the usual download. The public Atlas is part of
    # its training: `--external FOLDER`. A loss on hard examples, and predicting the maximum over crops, are left out.
    backbone="densenet121",
    pooling="avgmax",
    drop_rate=0.5,
    input_size=512,
    channels=4,
    augment="base",
    flips="both",
    loss="focal_lovasz",
    optimizer="adamw",
    learning_rate=3e-4,
    weight_decay=0.0,
    schedule="step",
    step_epochs=(35,),
    epochs=45,
    batch_size=32,
    clip_gradient=1.0,
    split="folds",
    folds=5,
    tta="d4",
    decision="prevalence",
)

ARCFACE = WINNER.with_fields(
    # The first place's second run: pictures of one antibody are drawn together in an embedding (ResNet-50, Adam at a
    # constant 1e-4, 55 epochs), and the nearest training pictures give the labels. There they replace the first run's
    # where a picture is near enough; here `blend` averages the two. It wants `--external FOLDER`: antibodies are known
    # of the public Atlas alone, and other pictures are told apart by their labels.
    backbone="resnet50",
    loss="arcface",
    learning_rate=1e-4,
    schedule="constant",
    step_epochs=(),
    epochs=55,
)

SAMPLE = Recipe(
    # The whole way in little: a small network from random weights on the sample data, two folds.
    backbone="resnet10t",
    weights="none",
    input_size=96,
    channels=4,
    flips="both",
    loss="bce",
    learning_rate=4e-3,
    schedule="onecycle",
    epochs=10,
    batch_size=16,
    split="folds",
    folds=2,
    tta="flips",
    decision="prevalence",
)

COMPETITION = Competition(
    name="hpa",
    title="Human Protein Atlas Image Classification",
    slug="human-protein-atlas-image-classification",
    task="multilabel",
    classes=CLASSES,
    metric="macro_f1",
    takes="csv",
    submission=SubmissionFormat("Id", "Predicted", "labels"),
    read_train=lazy("competitions.hpa.data", "read_train"),
    read_test=lazy("competitions.hpa.data", "read_test"),
    read_image=lazy("competitions.hpa.images", "read_image"),
    image_files=lazy("competitions.hpa.images", "files"),
    read_external=lazy("competitions.hpa.data", "read_external"),
    downloads=(
        DataSet(
            name="hpa-v18",
            source="https://www.kaggle.com/competitions/human-protein-atlas-image-classification/discussion/69984",
            holds="74,606 pictures of the public Atlas, labelled in the same 28 classes",
            licence="CC BY-SA 3.0 (the Human Protein Atlas')",
            how="lay HPAv18RBGY_wodpl.csv into data/hpa-v18 and beside it the pictures it names, {Id}_{red,green,blue,"
            "yellow}.jpg: 1_A1_1_green.jpg is http://v18.proteinatlas.org/images/1/A1_1_green.jpg",
        ),
    ),
    search={
        "loss": ("bce", "focal", "focal_lovasz", "asymmetric"),
        "decision": ("global", "thresholds", "prevalence"),
    },
    paper_split=lazy("competitions.hpa.data", "paper_split"),
    make_sample=lazy("competitions.hpa.sample", "make_sample"),
    recipes={
        "paper": AS_PUBLISHED,
        "interventions": INTERVENTIONS,
        "winner": WINNER,
        "arcface": ARCFACE,
        "sample": SAMPLE,
    },
)
