"""Networks: backbones of timm and torchvision by name, with the head, pooling and weights that a recipe asks for."""

from common.models.build import Network, build

__all__ = ["Network", "build"]
