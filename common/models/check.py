"""Accuracy on ImageNet's own images: the proof that constructor, weights and preprocessing belong together."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, default_collate

from common.errors import UserError, listing
from common.feed import begin, made_by
from common.images import open_header, reason_of
from common.models.registry import Source, preprocessing, source_of
from common.models.weights import find_weights
from common.models.zoo import find
from common.options import Options
from common.progress import Progress

SUFFIXES = (".jpeg", ".jpg", ".png")
WORDNET_ID = re.compile(r"(?<![a-z0-9])n\d{8}(?!\d)")


def check(
    images: Path, backbone: str, weights: str = "imagenet", options: Options | None = None
) -> dict[str, str | int | float | list[float] | None]:
    """Top-1 and top-5 on a folder of labelled images, with Wilson's 95% intervals, and what the paper prints and the
    library reports on all 50,000 validation images: shares in [0, 1], None where they are not known.

    Raises:
        UserError: no images, a class that cannot be told, or weights that are not those of a 1000-class network.
    """
    options = options or Options()
    labelled = labelled_images(images)
    source = source_of(backbone)
    network = classifier(backbone, source, weights)
    hits = hits_of(network, labelled, source, options)
    facts = {"backbone": backbone, "weights": weights, "images": len(hits)}
    for k in (1, 5):
        right = int(hits[:, :k].sum())
        facts |= {f"top{k}": right / len(hits), f"top{k}_interval": interval(right, len(hits))}
    return facts | known_figures(backbone)


def in_words(facts: Mapping[str, Any]) -> str:
    """What `check` found, in a line."""
    accuracies = ", ".join(
        "top-{} {:.1%} [{:.1f}, {:.1f}]".format(k, facts[f"top{k}"], *(100 * end for end in facts[f"top{k}_interval"]))
        for k in (1, 5)
    )
    paper, library = (f"{100 * share:.1f}" if share else "" for share in (facts["paper_top1"], facts["library_top1"]))
    known = f"; top-1 in the paper {paper}{library and f', its library {library}'}" if paper else ""
    return f"{facts['backbone']}: {facts['images']:,} images, {accuracies}{known}"


def labelled_images(folder: Path) -> list[tuple[Path, int]]:
    """Every image below `folder` with its class 0..999. The class stands in the file's name as a wordnet id
    (`ILSVRC2012_val_00000293_n01440764.JPEG`, `n01440764_tench.JPEG`), or the image's folder is named by wordnet id,
    class name (`great white shark`, underscores for spaces) or index.

    Raises:
        UserError: no images, or a class that cannot be told; names the first.
    """
    images = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not images:
        raise UserError(f"images: no {' / '.join(SUFFIXES)} below {folder}")
    labelled = [(path, class_of(path)) for path in images]
    unknown = [path.relative_to(folder) for path, label in labelled if label is None]
    if unknown:
        raise UserError(
            f"images: no ImageNet class can be told for {listing(unknown, 3)}; name the files or their folders by "
            "wordnet id (n01440764), or the folders by class name or index"
        )
    return labelled


def class_of(image: Path) -> int | None:
    """The class that the name of an image, or of its folder, tells; None where neither does."""
    folder = image.parent.name
    found = WORDNET_ID.search(image.name) or WORDNET_ID.search(folder)
    if found:
        return class_indices().get(found.group())
    return class_indices().get(folder.lower().replace("_", " "))


@cache
def class_indices() -> dict[str, int]:
    """Wordnet ids, indices as text and class names in lower case → index; of synonyms those of one class only."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    owners: dict[str, set[int]] = {}
    for index, wordnet_id in enumerate(info.label_names()):
        description = info.index_to_description(index).lower()
        for name in (wordnet_id, str(index), description, *description.split(", ")):
            owners.setdefault(name, set()).add(index)
    return {name: min(indices) for name, indices in owners.items() if len(indices) == 1}


def classifier(backbone: str, source: Source, weights: str) -> nn.Module:
    """The library's own network with its ImageNet classifier, the weights loaded strictly."""
    import timm
    import torchvision

    if source.library == "timm":
        network = timm.create_model(source.constructor, num_classes=1000)
    else:
        network = torchvision.models.get_model(source.constructor)
    state = find_weights(weights, backbone)
    ours = {name: value.shape for name, value in network.state_dict().items()}
    theirs = {name: value.shape for name, value in state.items()}
    wrong = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if wrong:
        raise UserError(
            f"weights: {weights} are not those of {backbone} with an ImageNet classifier of 1000 classes; missing, "
            f"unexpected or of another shape: {listing(wrong, 6)}"
        )
    network.load_state_dict(state)
    return network.eval()


class Images(torch.utils.data.Dataset):
    """Images as the weights want them, with their classes; an error in place of one that cannot be read."""

    def __init__(self, labelled: list[tuple[Path, int]], source: Source) -> None:
        from timm.data import create_transform

        self.labelled, self.transform = labelled, create_transform(**preprocessing(source), is_training=False)

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int] | UserError:
        path, label = self.labelled[index]
        try:
            with open_header(path) as image:
                rgb = image.convert("RGB")
        except Exception as error:  # Pillow's parsers raise whatever they stumble over
            return UserError(f"images: cannot read {path}: {reason_of(error)}")
        return self.transform(rgb), label


def together(items: list) -> list[torch.Tensor] | UserError:
    """A batch, or its first error: what a worker raises would come with the worker's traceback."""
    return next((item for item in items if isinstance(item, UserError)), None) or default_collate(items)


def hits_of(network: nn.Module, labelled: list[tuple[Path, int]], source: Source, options: Options) -> torch.Tensor:
    """bool (n, 5): whether the best guess is right, the second, … the fifth."""
    device = options.torch_device()
    network, hits = network.to(device), []
    workers = options.feed_workers()
    feed = DataLoader(
        Images(labelled, source), batch_size=32, num_workers=workers, collate_fn=together, worker_init_fn=begin
    )
    with torch.inference_mode(), Progress(len(labelled), "check") as progress:
        for images, labels in made_by(feed):
            guesses = network(images.to(device)).topk(5).indices
            hits.append(guesses.cpu() == labels[:, None])
            progress.update(len(labels))
    return torch.cat(hits)


def interval(hits: int, n: int) -> list[float]:
    """Wilson's 95% interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return [float(found.low), float(found.high)]


def known_figures(backbone: str) -> dict[str, float | None]:
    model = find(backbone)
    percent = (model.published_top1, model.library_top1) if model else (None, None)
    paper, library = (None if value is None else value / 100 for value in percent)
    return {"paper_top1": paper, "library_top1": library}
