"""Human Protein Atlas: where in the cell a protein is, 28 places, several a picture. The write-up is in README.md."""

from common.competition import Competition, SubmissionFormat
from common.recipe import Recipe
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

PAPER = Recipe(
    # One cell of the paper's grid (its sections 3, 4.3 and C) as its code ran it: plain crops and mirror images both
    # ways at 256, yellow dropped, the other colours in OpenCV's order, decay wd/lr, the published stratified split,
    # thresholds on the validation rows.
    backbone="resnet50",
    input_size=256,
    channels=3,
    normalization="imagenet",
    color_order="bgr",
    augment="base",
    flips="both",
    loss="bce",
    optimizer="adamw",
    learning_rate=1e-4,
    weight_decay=1e-4,
    decay_over_learning_rate=True,
    schedule="cosine",
    epochs=30,
    batch_size=128,
    split="paper",
    decision="thresholds",
)

INTERVENTIONS = Recipe(
    # What leading solutions share: 512 pixels, all four colours, focal loss, DenseNet-121 (the first place's, and the
    # best of the paper's nineteen here), thresholds that match the classes' prevalence (third place), test-time views,
    # folds. `heavy` on four channels bends, turns and occludes, and leaves the colours alone: each is a stain. Add the
    # public Atlas with `--external FOLDER`.
    backbone="densenet121",
    pooling="gem",
    input_size=512,
    channels=4,
    augment="heavy",
    flips="both",
    loss="focal",
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
    read_external=lazy("competitions.hpa.data", "read_external"),
    external_source="HPA v18: HPAv18RBGY_wodpl.csv (Id, Target) and {Id}_{red,green,blue,yellow}.jpg",
    paper_split=lazy("competitions.hpa.data", "paper_split"),
    make_sample=lazy("competitions.hpa.sample", "make_sample"),
    recipes={"paper": PAPER, "interventions": INTERVENTIONS, "sample": SAMPLE},
)
