"""The grids that have a name: the paper's, its ablations and its control, and one for two cores.

A grid is a list of jobs; `python -m competitions study --grid NAME` does what is not there yet.
"""

from collections.abc import Callable, Sequence

from common.models.zoo import Model, zoo
from common.recipe import Recipe
from common.sweep.grid import DECAYS, Job, optimizations
from competitions import load

DATA_SETS = ("cct20", "aptos", "hpa", "melanoma", "cassava", "eurosat")
"""Of the paper, in its order."""

LINEAR_PROBE_RATES = (1e-1, 1e-2, 1e-3)
CLIP_RATES = {"adamw": (1e-4, 1e-5, 1e-6)}
"""The paper's Appendix J searches over three learning rates each; which ones did not survive in the text at hand, so
that these are the usual ones of LP-FT."""

ABLATED = ("resnet50", "resnet50.am_in1k", "resnet50.ra_in1k", "deit_tiny_patch16_224.fb_in1k")
ABLATED += ("deit_small_patch16_224.fb_in1k",)
POLICIES = ("base", "augmix", "randaugment")

SMALL_BACKBONES = ("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small")
SMALL_RATES = {"adamw": (1e-3, 1e-4), "sgd": (1e-2, 1e-3)}

STUDIED_BACKBONES = ("squeezenet1_1", "tf_mobilenetv3_small_100", "regnetx_002", "mobilenet_v2")
STUDIED_BACKBONES += ("vit_tiny_patch16_224", "resnet50")
STUDIED_PARTS = {
    "cct20": {"split": "paper", "epochs": 6},
    "melanoma": {"split": "folds", "folds": 2, "only_folds": (0,), "epochs": 4, "decision": "probability"},
    "cifar10": {"split": "folds", "folds": 4, "only_folds": (0,), "epochs": 4},
}
STUDIED = Recipe(
    input_size=128,
    flips="horizontal",
    learning_rate=3e-4,
    weight_decay=1e-2,
    schedule="onecycle",
    batch_size=32,
)


def published(name: str, backbone: str) -> Recipe:
    """A data set's `paper` recipe with another network: at 256 pixels, but DeiT at 224 and EuroSAT always at 224."""
    recipe = load(name).recipes["paper"]
    size = 224 if backbone.startswith("deit") else recipe.input_size
    return recipe.with_fields(backbone=backbone, input_size=size)


def paper(data_sets: Sequence[str] = DATA_SETS) -> list[Job]:
    """19 networks × 6 data sets × 60 (its sections 3, C.2 and D)."""
    models = [model for model in zoo().values() if model.part == "grid"]
    return [
        Job(name, recipe)
        for name in data_sets
        for model in models
        for recipe in optimizations(published(name, model.name))
    ]


def cifar10() -> list[Job]:
    """The control: the same grid on CIFAR-10 (Appendix E)."""
    return paper(("cifar10",))


def augmentation() -> list[Job]:
    """ResNet-50, pre-trained in three ways, and two DeiT under three policies, 50 epochs (section 5.1, Appendix G). The
    paper does not say over what it searches here; this is the main grid."""
    return [
        Job(name, recipe, variant=policy)
        for name in ("cct20", "aptos")
        for backbone in ABLATED
        for policy in POLICIES
        for recipe in optimizations(published(name, backbone).with_fields(augment=policy, epochs=50))
    ]


def clip() -> list[Job]:
    """CLIP's six image towers by LP-FT: a third of the epochs for linear probes, the best of which the fine-tuning
    starts from (section 5.2, Appendix J). At the size and with the normalization of their own training."""
    return [
        Job(name, recipe)
        for name in DATA_SETS
        for model in zoo().values()
        if model.part == "clip"
        for recipe in optimizations(_lp_ft(name, model), [("adamw", "cosine")], CLIP_RATES)
    ]


def _lp_ft(name: str, model: Model) -> Recipe:
    return published(name, model.name).with_fields(
        input_size=model.input_size,
        normalization="weights",
        probe_share=1 / 3,
        probe_learning_rate=LINEAR_PROBE_RATES,
        probe_weight_decay=DECAYS,
    )


def small() -> list[Job]:
    """What two cores can do in a night or two: the three quickest networks, 64 pixels, 6 epochs, 8 ways to optimize."""
    return [
        Job(name, recipe)
        for name in (*DATA_SETS, "cifar10")
        for backbone in SMALL_BACKBONES
        for recipe in optimizations(
            published(name, backbone).with_fields(input_size=64, epochs=6, batch_size=32),
            [("adamw", "cosine"), ("sgd", "cosine")],
            SMALL_RATES,
            (1e-4, 0.0),
        )
    ]


def small_study() -> list[Job]:
    """The study in little, on parts of three data sets of about 1,500 images: six networks, three seeds of each but
    ResNet-50, one recipe. `benchmarks/study_small.py` gives it weights and data."""
    return [
        Job(name, STUDIED.with_fields(backbone=backbone, seed=seed, **fields))
        for seed in range(3)
        for backbone in (STUDIED_BACKBONES if seed == 0 else STUDIED_BACKBONES[:-1])
        for name, fields in STUDIED_PARTS.items()
    ]


GRIDS: dict[str, Callable[[], list[Job]]] = {
    "paper": paper,
    "augmentation": augmentation,
    "clip": clip,
    "cifar10": cifar10,
    "small": small,
    "small-study": small_study,
}
