"""Families of backbones: a colour that the colour-blind can tell apart (Okabe and Ito's) and a marker for each."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    name: str
    pattern: str
    colour: str
    marker: str
    plotly_marker: str


FAMILIES = (
    Family("transformer", r"deit|vit|swin|clip-b|clip-l", "#D55E00", "^", "triangle-up"),
    Family("small network", r"mobilenet|shufflenet|squeezenet|regnetx_00|efficientnet.?b0", "#009E73", "s", "square"),
    Family("VGG, AlexNet", r"vgg|alexnet", "#CC79A7", "D", "diamond"),
    Family("ResNet and kin", r"resn|densenet|regnet|inception|clip-rn", "#0072B2", "o", "circle"),
    Family("other", r"", "#555555", "P", "cross"),
)


def family_of(model: str) -> Family:
    """The first family whose pattern is in the name."""
    return next(family for family in FAMILIES if re.search(family.pattern, model.lower()))
