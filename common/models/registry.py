"""What the installed libraries say of a backbone: its constructor, its weights, and the images that those want."""

from dataclasses import dataclass
from typing import Any

from common.errors import UserError, closest
from common.models.zoo import find, zoo


@dataclass(frozen=True)
class Source:
    """Where a backbone comes from: a zoo model's own fields, or the libraries' defaults for another name."""

    library: str
    """'timm' or 'torchvision': whose constructor is built."""
    constructor: str
    weights: str
    """A member of a torchvision enum, or timm's `name.tag`."""

    @property
    def torchvision_weights(self) -> bool:
        return "_Weights." in self.weights


def source_of(backbone: str) -> Source:
    """The zoo's constructor and weights for its names; else timm's, with its default tag or the one given; else
    torchvision's, with its first (V1) weights.

    Raises:
        UserError: no such backbone or tag.
    """
    model = find(backbone)
    if model is not None:
        return Source(model.library, model.constructor, model.weights)
    import timm
    import torchvision

    if timm.is_model(backbone):
        try:
            config = timm.get_pretrained_cfg(backbone)
        except RuntimeError as error:
            raise UserError(
                f"backbone: {str(error).rstrip('.')}; timm lists its weights with list_pretrained()"
            ) from error
        constructor = backbone.partition(".")[0]
        return Source("timm", constructor, f"{constructor}.{config.tag}" if config.tag else constructor)
    known = torchvision.models.list_models(module=torchvision.models)
    if backbone in known:
        enum = torchvision.models.get_model_weights(backbone)
        return Source("torchvision", backbone, f"{enum.__name__}.IMAGENET1K_V1")
    near = closest(backbone, [*zoo(), *known, *timm.list_models()])
    raise UserError(f"backbone: no '{backbone}' in timm or torchvision{near}")


def preprocessing(source: Source) -> dict[str, Any]:
    """What the weights were evaluated with, as `timm.data.create_transform` takes it: input_size (C, H, W), mean, std,
    interpolation, crop_pct (input_size over the size before the crop) and crop_mode."""
    if source.torchvision_weights:
        import torchvision

        preset = torchvision.models.get_weight(source.weights).transforms()
        (size,), (resized,) = preset.crop_size, preset.resize_size
        return {
            "input_size": (3, size, size),
            "mean": tuple(preset.mean),
            "std": tuple(preset.std),
            "interpolation": preset.interpolation.value,
            "crop_pct": size / resized,
            "crop_mode": "center",
        }
    import timm

    return timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(source.weights).to_dict())
