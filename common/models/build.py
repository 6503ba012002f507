"""One builder for every backbone: `build(recipe, outputs)` gives a network that eats uint8 images."""

import torch
from torch import nn

from common.errors import UserError
from common.models.channels import adapted_state, extended, widen_first_layer
from common.models.metadata import metadata_branch
from common.models.pooling import pool_tokens, replace_pooling, widened_state
from common.models.positions import resampled_state
from common.models.registry import source_of
from common.models.weights import BRANCH, GALLERY, find_weights, load_branch, load_weights, split
from common.recipe import Recipe

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Network(nn.Module):
    """A backbone behind its own normalization, and beside it a branch for metadata, where there is one.

    `forward` takes uint8 images (N, C, H, W), three channels being RGB, and returns outputs (N, K) before any
    activation. `normalize` and `answer` are apart so that mixup and test-time views can act on normalized images.
    `head` is the name of the classifier in the backbone.
    """

    def __init__(
        self, backbone: nn.Module, head: str, mean, std, bgr: bool = False, metadata: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.metadata = backbone, metadata
        self.head, self.bgr = head, bgr
        scale = 255.0 * torch.tensor(std).view(1, -1, 1, 1)
        shift = torch.tensor(mean).view(1, -1, 1, 1) * 255.0
        self.register_buffer("scale", 1.0 / scale, persistent=False)
        self.register_buffer("shift", shift / scale, persistent=False)

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, C, H, W) → float32, zero mean and unit variance on the weights' own images.

        With `bgr` the first three channels are reversed first, as a reader that never undoes OpenCV's order would feed
        them.
        """
        if self.bgr:
            images = torch.cat((images[:, :3].flip(1), images[:, 3:]), dim=1)
        return images.float().mul(self.scale).sub_(self.shift)

    def answer(self, inputs: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        """Normalized images (N, C, H, W), and metadata float32 (N, d) where the network takes it → outputs (N, K)."""
        outputs = self.backbone(inputs)
        return outputs if self.metadata is None else outputs + self.metadata(metadata)

    @property
    def classifier(self) -> nn.Linear:
        return self.backbone.get_submodule(self.head)

    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalized images (N, C, H, W) → pooled features (N, D): the answer without the classifier.

        In CLIP's ResNets it stands before the pooling, with which it may change places.
        """
        parent, _, leaf = self.head.rpartition(".")
        owner, classifier = self.backbone.get_submodule(parent), self.classifier
        setattr(owner, leaf, nn.Identity())
        try:
            return self.backbone(inputs)
        finally:
            setattr(owner, leaf, classifier)

    def forward(self, images: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        return self.answer(self.normalize(images), metadata)

    def weights(self) -> dict[str, torch.Tensor]:
        """What a weights file holds: the backbone's tensors by its own names, the branch's under `metadata.`."""
        branch = self.metadata.state_dict() if self.metadata is not None else {}
        state = self.backbone.state_dict() | {f"{BRANCH}{name}": value for name, value in branch.items()}
        return {name: value.contiguous() for name, value in state.items()}

    def load_weights(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `weights`, strictly: RuntimeError where a tensor is missing, unexpected or misshapen."""
        backbone = state
        if self.metadata is not None:
            backbone, branch = split(state, BRANCH)
            self.metadata.load_state_dict(branch)
        self.backbone.load_state_dict(backbone)


def build(recipe: Recipe, outputs: int, weights: bool = True, metadata: int = 0) -> Network:
    """The recipe's network with `outputs` outputs; `weights=False` where a run's own weights follow.

    Weights made for three channels are adapted to the recipe's number, their mean and standard deviation extended;
    position embeddings made at another input size are resampled. With `metadata` columns beside the image, the network
    has a branch for them, fresh unless the weights have one that fits.

    Raises:
        UserError: the backbone does not exist, has no pooling to replace, or its weights cannot be had or do not fit.
    """
    make = _timm if source_of(recipe.backbone).library == "timm" else _torchvision
    backbone, head, old_head, mean, std = make(recipe, outputs)
    if recipe.gradient_checkpointing:
        checkpoint_gradients(backbone, recipe.backbone)
    branch = metadata_branch(metadata, outputs) if metadata else None
    if weights and recipe.weights != "none":
        state, _ = split(find_weights(recipe.weights, recipe.backbone), GALLERY)
        state, of_branch = split(state, BRANCH)
        load_branch(branch, of_branch)
        state = adapted_state(state, backbone, recipe.channels)
        if recipe.pooling == "avgmax":
            state = widened_state(state, backbone)
        state = resampled_state(state, backbone)
        load_weights(backbone, state, head, old_head, recipe.weights)
    if recipe.normalization == "imagenet":
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    mean, std = extended(mean, recipe.channels), extended(std, recipe.channels)
    return Network(backbone, head, mean, std, bgr=recipe.color_order == "bgr", metadata=branch)


def checkpoint_gradients(model: nn.Module, backbone: str) -> None:
    """Raises UserError where the network cannot."""
    try:
        model.set_grad_checkpointing()
    except (AttributeError, AssertionError) as error:
        raise UserError(f"gradient_checkpointing: {backbone} has none; use --gradient-checkpointing False") from error


def _timm(recipe: Recipe, outputs: int):
    import timm

    options = {"num_classes": outputs, "in_chans": recipe.channels, "drop_rate": recipe.drop_rate}
    if recipe.drop_path:
        options["drop_path_rate"] = recipe.drop_path
    tokens = _is_transformer(recipe.backbone)
    if recipe.pooling == "avgmax" and not tokens:
        options["global_pool"] = "catavgmax"
    try:
        model = timm.create_model(recipe.backbone, **options, **_input_size(recipe))
    except TypeError as error:
        raise UserError(f"backbone {recipe.backbone} does not take one of {', '.join(options)}: {error}") from error
    except AssertionError as error:
        if recipe.pooling != "avgmax":
            raise
        raise UserError(f"pooling 'avgmax': {recipe.backbone} refuses it ({error}); use --pooling avg") from error
    config = model.pretrained_cfg
    head = config["classifier"]
    if not isinstance(head, str):
        raise UserError(f"backbone {recipe.backbone} has {len(head)} classifiers, and one is to be replaced")
    if recipe.pooling != "avg" and tokens:
        pool_tokens(model, recipe.pooling, recipe.backbone)
    elif recipe.pooling in ("gem", "attention"):
        replace_pooling(model, recipe.pooling, timm.layers.SelectAdaptivePool2d, model.num_features, recipe.backbone)
    return model, head, head, config["mean"], config["std"]


def _is_transformer(backbone: str) -> bool:
    """Whether it is a plain transformer of timm, whose patches are pooled as a sequence."""
    import timm

    return timm.models.is_model_in_modules(backbone, ("vision_transformer", "deit", "eva"))


def _input_size(recipe: Recipe) -> dict:
    """`img_size` for the networks of timm that are built for one size (transformers), nothing for the others."""
    import timm

    fixed = timm.get_pretrained_cfg(recipe.backbone).fixed_input_size
    return {"img_size": recipe.input_size} if fixed else {}


def _torchvision(recipe: Recipe, outputs: int):
    import torchvision

    if recipe.drop_path:
        raise UserError(f"drop_path: torchvision's {recipe.backbone} has no such option; set --drop-path 0")
    model = torchvision.models.get_model(recipe.backbone, weights=None)
    if recipe.backbone.startswith("squeezenet"):
        # Its ReLU after the class convolution would make every logit positive; pooling first is the same linear map.
        model.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, outputs)
        )
        head, old_head = "classifier.3", "classifier.1"
    else:
        name, last = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, nn.Linear(last.in_features, outputs))
        head = old_head = name
    if recipe.pooling != "avg":
        _pool_torchvision(model, recipe, head)
    if recipe.channels != 3:
        widen_first_layer(model, recipe.channels)
    if recipe.drop_rate:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = recipe.drop_rate
    return model, head, old_head, IMAGENET_MEAN, IMAGENET_STD


def _pool_torchvision(model: nn.Module, recipe: Recipe, head: str) -> None:
    """The recipe's pooling in place of the average; twice the inputs for the classifier that follows 'avgmax'."""
    classifier = model.get_submodule(head)
    replace_pooling(model, recipe.pooling, nn.AdaptiveAvgPool2d, classifier.in_features, recipe.backbone)
    if recipe.pooling == "avgmax":
        parent, _, leaf = head.rpartition(".")
        wider = nn.Linear(2 * classifier.in_features, classifier.out_features)
        setattr(model.get_submodule(parent), leaf, wider)
