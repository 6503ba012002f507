"""How a competition is answered: one frozen, validated dataclass. A recipe reads like the paragraph in the paper."""

import dataclasses
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from common.errors import UserError, closest

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]

REGRESSION_LOSSES = ("l1", "smooth_l1", "mse")
Loss = Literal[
    "cross_entropy", "bce", "focal", "lovasz", "focal_lovasz", "asymmetric", "arcface", "l1", "smooth_l1", "mse"
]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """Everything that decides a result, and nothing that only decides how fast it is had."""

    # The network
    backbone: Annotated[str, Field(min_length=1)] = "resnet50"
    """A timm or torchvision model name."""
    weights: Annotated[str, Field(min_length=1)] = "imagenet"
    """'imagenet', 'none' (random), a .safetensors / .pth file, or a folder that `fetch` filled. Never replaced by
    something else in silence."""
    pooling: Literal["avg", "gem", "avgmax", "attention"] = "avg"
    """Pooling before the classifier: average (in a transformer whatever its weights were made with), GeM with a learned
    exponent that starts at 3, average and maximum side by side, or gated attention; over the positions of a feature map
    or the patches of a transformer."""
    drop_rate: Fraction = 0.0
    """Dropout before the classifier."""
    drop_path: Fraction = 0.0
    """Stochastic depth, where the backbone has it."""
    head_init: Literal["default", "zero", "prior"] = "default"
    """First values of the classifier: the library's (or the weights file's), all outputs 0, or the class frequencies of
    the training rows, which spares rare classes the first steps (regression: the mean grade)."""
    gradient_checkpointing: bool = False
    """Compute activations twice rather than keep them, where the backbone can. Gradients are the same to rounding, but
    statistics of batch normalization move twice a step: hence a field of the recipe."""
    metadata: bool = False
    """Add what is known beside the image (melanoma: age, sex and site), through a small network of its own."""

    # The images
    input_size: Annotated[int, Field(ge=32, le=2048)] = 256
    """Side of the square that the network sees, in pixels."""
    channels: Annotated[int, Field(ge=1, le=16)] = 3
    """Channels of an image, where the competition can read others than three."""
    normalization: Literal["weights", "imagenet"] = "weights"
    """Mean and standard deviation: those the weights were made with, or ImageNet's whatever the weights (the paper)."""
    color_order: Literal["rgb", "bgr"] = "rgb"
    """'bgr' reproduces the paper's code, which never turns OpenCV's BGR into RGB; further channels stay in place."""

    preparation: Literal["plain", "circle", "ben-graham"] = "plain"
    """What is done to an image once, before it is cached: 'circle' crops a fundus photograph to its retina,
    'ben-graham' subtracts the local average too."""

    # Augmentation
    augment: Literal["none", "base", "paper-aptos", "heavy", "randaugment", "augmix"] = "base"
    """Policy; `show-augment` draws them all."""
    strength: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Strength of the policy: 0 leaves crop and flips alone, 1 is as published."""
    flips: Literal["none", "horizontal", "both"] = "horizontal"
    """Mirror images that mean the same."""
    mixup: NotNegative = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: NotNegative = 0.0
    """Alpha of CutMix; 0 is off. With mixup too, each batch takes one of them."""

    # Loss and optimization
    loss: Loss = "cross_entropy"
    """The last three regress the grade of an ordinal task on one output; 'arcface' learns an embedding, in which the
    nearest training images give the labels."""
    label_smoothing: Fraction = 0.0
    """Share of each target spread over all classes."""
    auxiliary: NotNegative = 0.0
    """Weight of the loss on the competition's auxiliary target (melanoma: the diagnosis); 0 is off."""
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 shows every row once an epoch, 1 every class equally often; between the two, rare classes more often."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """'sgd' has Nesterov momentum 0.9."""
    learning_rate: Positive = 1e-3
    """Peak learning rate."""
    weight_decay: NotNegative = 1e-4
    """Weight decay, on matrices and vectors alike."""
    decay_over_learning_rate: bool = False
    """Use weight_decay / learning_rate for AdamW, as the paper's code does."""
    layer_decay: Share = 1.0
    """Factor on the learning rate from each layer to the one below it; 1 trains all alike."""
    probe_share: Fraction = 0.0
    """Share of the epochs (a third in the paper) that trains the classifier alone, on the frozen network's view of the
    images without augmentation, before all is trained for the others (LP-FT); 0 is off."""
    probe_learning_rate: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-3,)
    """Peak learning rates of the probe; of several, the best on the held-out rows counts."""
    probe_weight_decay: Annotated[tuple[NotNegative, ...], Field(min_length=1)] = (0.0,)
    """Weight decays of the probe, each tried with each learning rate."""
    schedule: Literal["cosine", "step", "onecycle", "constant"] = "cosine"
    """'step' divides by 10 at each of step_epochs; 'onecycle' rises for 30% of the steps and falls to nearly 0."""
    step_epochs: tuple[Count, ...] = ()
    """Epochs at which 'step' divides the learning rate by 10."""
    warmup_epochs: NotNegative = 0.0
    """Linear warm-up before the schedule; may be a fraction of an epoch."""
    epochs: Count = 30
    """Passes over the training rows."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 128
    """Images a step; batch normalization needs two."""
    micro_batch: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Compute a step this many images at a time, for want of memory, and add up their gradients; 0: all at once. What
    looks at the images of a batch together sees fewer (batch normalization, the Lovász loss): hence a field."""
    ema: Fraction = 0.0
    """Decay of the exponential moving average of the weights, which is then what is validated and saved; 0 is off."""
    clip_gradient: NotNegative = 0.0
    """Largest norm of the gradient; 0 is off."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop a fold after this many epochs without a better score; 0 is off."""
    checkpoints: Count = 1
    """Keep this many best epochs of each fold."""
    average: Literal["predictions", "weights"] = "predictions"
    """What is averaged over those epochs: their predictions, or the weights themselves, which costs one prediction."""

    # What is trained on what
    split: Literal["folds", "paper", "all"] = "folds"
    """k folds, the paper's train/validation split, or everything with nothing held out."""
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Folds of split 'folds': groups kept apart, classes balanced."""
    only_folds: tuple[int, ...] = ()
    """Train these folds alone; empty: all."""
    external: str = ""
    """Folder of the competition's external data, added to every fold's training rows; empty: none."""
    pseudo: str = ""
    """Run whose predictions of the test set are trained on as soft labels, fold by fold; empty: none."""
    clean: str = ""
    """Run whose out-of-fold predictions say which training labels are suspicious; empty: all are believed."""
    suspects: Literal["drop", "soften"] = "drop"
    """What becomes of suspicious labels in training: left out, or half replaced by the prediction."""
    suspect_share: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of the training rows that counts as suspicious, the worst first."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seeds folds, initial head, order, augmentation and bootstrap."""

    # From outputs to a submission
    tta: Literal["none", "flip", "flips", "d4", "rotations", "scales", "d4-scales"] = "none"
    """Views averaged in prediction: mirror (2), both mirrors (4), all symmetries of the square (8), turns by 45° (8),
    mirror at three scales (6), all symmetries at three scales (24)."""
    decision: Literal["argmax", "round", "thresholds", "global", "prevalence", "majority", "probability"] = "argmax"
    """From outputs to labels; 'thresholds', 'global' (one cut for all classes of a multi-label task) and 'prevalence'
    are fitted on out-of-fold outputs, nested over folds. 'majority' is a vote of all folds' networks, which only test
    images have: a held-out one is decided by the mean of its own fold's."""

    def __post_init__(self) -> None:
        if self.schedule == "step" and not self.step_epochs:
            raise ValueError("schedule 'step' needs step_epochs")
        if any(fold not in range(self.folds) for fold in self.only_folds):
            raise ValueError(f"only_folds must lie in 0..{self.folds - 1}")
        if list(self.only_folds) != sorted(set(self.only_folds)):
            raise ValueError("only_folds must ascend, each fold once")
        if self.only_folds and self.split != "folds":
            raise ValueError(f"only_folds goes with split 'folds', not '{self.split}'")
        if self.color_order == "bgr" and self.channels < 3:
            raise ValueError(f"color_order 'bgr' needs three channels or more, not {self.channels}")
        if self.micro_batch == 1:
            raise ValueError("micro_batch 1: batch normalization needs two images or more")
        if any(0 < alpha < 1e-3 for alpha in (self.mixup, self.cutmix)):
            raise ValueError("mixup and cutmix: an alpha is 0 (off), or at least 0.001")
        if self.probe_share:
            self._check_probe()
        if self.head_init == "prior" and self.loss == "arcface":
            raise ValueError("head_init 'prior' needs classes or a grade, which loss 'arcface' does not have")
        if self.average == "weights" and self.checkpoints < 2:
            raise ValueError("average 'weights' needs two checkpoints or more")
        if self.metadata and (self.mixup or self.cutmix):
            raise ValueError("metadata goes with neither mixup nor cutmix, which mix images alone")
        if self.loss == "arcface" and (self.mixup or self.cutmix or self.label_smoothing or self.pseudo):
            raise ValueError(
                "loss 'arcface' takes no mixup, cutmix, label_smoothing or pseudo: an image is one identity"
            )
        if self.loss == "arcface" and self.clean and self.suspects == "soften":
            raise ValueError("loss 'arcface' cannot soften labels; drop the suspects")
        if self.regression and (self.cutmix or self.label_smoothing):
            raise ValueError(f"loss '{self.loss}' takes no cutmix and no label_smoothing")
        if self.regression and self.decision not in ("round", "thresholds", "prevalence"):
            raise ValueError(f"loss '{self.loss}' needs decision 'round', 'thresholds' or 'prevalence'")

    def _check_probe(self) -> None:
        if not 1 <= self.probe_epochs < self.epochs:
            raise ValueError(f"probe_share {self.probe_share:g} of {self.epochs} epochs leaves one part empty")
        if self.metadata or self.loss == "arcface":
            what = "metadata" if self.metadata else "loss 'arcface'"
            raise ValueError(f"probe_share does not go with {what}: the probe is a classifier on the image alone")
        if self.split == "all" and len(self.probe_learning_rate) * len(self.probe_weight_decay) > 1:
            raise ValueError("several probes are compared on held-out rows and split 'all' holds out none; name one")

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, values, validate):
        try:
            return validate(values)
        except ValidationError as error:
            raise UserError("recipe: " + explain(error)) from None

    @property
    def regression(self) -> bool:
        """One output that estimates the grade, in place of one logit a class."""
        return self.loss in REGRESSION_LOSSES

    @property
    def probe_epochs(self) -> int:
        """Epochs that the linear probe takes of the whole."""
        return round(self.probe_share * self.epochs)

    def end_to_end(self) -> "Recipe":
        """What is done after the probe, with the schedule over the epochs that are left."""
        return self.with_fields(epochs=self.epochs - self.probe_epochs, probe_share=0.0) if self.probe_share else self

    def with_fields(self, **fields: Any) -> "Recipe":
        """A copy with some fields replaced.

        Raises:
            UserError: a field does not exist or has a wrong value; the message names it.
        """
        for name in fields:
            if name not in FIELDS:
                raise UserError(f"a recipe has no field '{name}'{closest(name, FIELDS)}")
        return replace(self, **fields)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def identity(self) -> dict[str, Any]:
        """What the run's hash is made of: the fields that differ from the defaults, so that a field added later does
        not disown earlier runs. Paths are left out: files count by their content (see `common.run`)."""
        differing = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default
        }
        return {name: value for name, value in differing.items() if name not in ("external", "weights")}


PAPER = Recipe(
    # One cell of the paper's grid, which the data sets share (its sections 3 and D) as its code ran it: plain crops and
    # mirror images at 256, ImageNet's statistics, decay wd/lr, the epoch chosen on the paper's validation rows.
    # Learning rate and decay: Appendix F finds 1e-4 better than 1e-3 by .03 for ResNet-50 on APTOS, whatever the decay;
    # no table of the paper tells the cells of the other data sets apart.
    backbone="resnet50",
    input_size=256,
    normalization="imagenet",
    augment="base",
    flips="horizontal",
    optimizer="adamw",
    learning_rate=1e-4,
    weight_decay=1e-4,
    decay_over_learning_rate=True,
    schedule="cosine",
    epochs=30,
    batch_size=128,
    split="paper",
    decision="argmax",
)
"""The paper's protocol as published; a competition's `paper` names what differs there."""

FIELDS = tuple(field.name for field in dataclasses.fields(Recipe))


def explain(error: ValidationError) -> str:
    """A pydantic error as `field: what is wrong (got value)`, fields separated by semicolons."""
    parts = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what} (got {problem['input']!r})" if where else what)
    return "; ".join(parts)


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """The recipe a run folder holds. Raises UserError as `Recipe.with_fields`."""
    return Recipe().with_fields(**values)
