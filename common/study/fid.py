"""The Fréchet inception distance (Heusel et al., 2017) between a folder of reference images and folders of others.

Features are the 2,048 of the Inception network of the original TensorFlow graph, by torch-fidelity, which gives its
values. An image is seen whole along its short side: shrunk or enlarged to 299 pixels by Pillow's bicubic filter, which
averages, and cropped in the middle. The paper (Appendix M) does not say how it read its images, nor how many.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError, listing
from common.files import content_hash, sha256_of_file, write_atomically
from common.images import read_rgb
from common.progress import Progress
from common.stored import read_array
from common.study.frechet import distance_with_error

SIDE = 299
FEATURES = 2048
BATCH = 32
FEWEST = 4
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
WHERE = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS}"


def fid(
    reference: Path, folders: Mapping[str, Path], weights: Path | None, at_most: int, cache: Path, device: str = "auto"
) -> pd.DataFrame:
    """How far each folder of images is from the reference.

    Args:
        folders: name → folder; images are looked for below it.
        weights: file of the Inception network's weights (.pth or .safetensors); None: fetched, or found where an
            earlier fetch left them.
        at_most: images of a folder that count, drawn at random where it has more.
        cache: folder that features are kept in.

    Returns:
        A row a folder: `dataset`, `images`, `fid` with its interval `low` and `high`, `of_halves` and `without_bias`
        (see `common.study.frechet`).

    Raises:
        UserError: no such folder, fewer than 4 images in it, an image that cannot be read, weights that cannot be had.
    """
    drawn = {name: images_of(folder, at_most) for name, folder in {"reference": reference, **folders}.items()}
    file = weights or fetched_weights()
    network = None
    features = {}
    for name, paths in drawn.items():
        kept = cache / "fid" / f"{identity(paths, file)}.npy"
        if not kept.is_file():
            network = network or Inception(file, device)
            write_features(kept, network.features(paths, name))
        features[name] = read_array(kept)
    of_reference = features.pop("reference")
    rows = []
    for name, of_folder in features.items():
        distance = distance_with_error(of_reference, of_folder)
        row = {"dataset": name, "images": len(of_folder), "fid": distance.value, "low": distance.low}
        row |= {"high": distance.high, "of_halves": distance.of_halves, "without_bias": distance.without_bias}
        rows.append(row)
    return pd.DataFrame(rows)


def images_of(folder: Path, at_most: int) -> list[Path]:
    """The images below a folder in the order of their paths, `at_most` of them, the same draw every time."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give one with images in it or below it")
    files = (Path(where, name) for where, _, names in os.walk(folder, followlinks=True) for name in names)
    paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    if len(paths) < FEWEST:
        raise UserError(f"{folder}: {len(paths)} images ({', '.join(SUFFIXES)}), a distance needs {FEWEST} and more")
    if len(paths) > at_most:
        paths = [paths[i] for i in np.sort(np.random.default_rng(0).choice(len(paths), at_most, replace=False))]
    return paths


def identity(paths: Sequence[Path], weights: Path) -> str:
    """Of the features: images by their paths, sizes and times, weights by their content."""
    stats = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return content_hash([SIDE, sha256_of_file(weights), stats])


def fetched_weights() -> Path:
    """The network's weights from the cache of torch's hub, to which they are fetched where they are not there."""
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(WHERE, str(file), hash_prefix="6726825d", progress=False)
        except Exception as error:
            reason = str(getattr(error, "reason", error)).strip() or type(error).__name__
            raise UserError(
                f"weights: {WEIGHTS} cannot be had ({reason}); fetch {WHERE}, give --weights FILE"
            ) from error
    return file


def write_features(file: Path, features: np.ndarray) -> None:
    def write(path: Path) -> None:
        with open(path, "wb") as opened:  # np.save would add .npy to the temporary name
            np.save(opened, features)

    write_atomically(file, write)


class Inception:
    """The feature network on a device."""

    def __init__(self, weights: Path, device: str) -> None:
        from common.options import Options

        self.device = Options(device=device).torch_device()
        self.network = load(weights).to(self.device)

    def features(self, paths: Sequence[Path], what: str) -> np.ndarray:
        """float32 (n, 2048). Raises BadImage for the first image that cannot be read."""
        import torch

        parts = []
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool, Progress(len(paths), f"fid {what}") as progress:
            for start in range(0, len(paths), BATCH):
                images = np.stack(list(pool.map(as_seen, paths[start : start + BATCH])))
                with torch.inference_mode():
                    batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)
                    parts.append(self.network(batch)[0].float().cpu().numpy())
                progress.update(len(images))
        return np.concatenate(parts)


def load(weights: Path):
    """torch-fidelity's network with these weights. It would unpickle whatever a file holds; read here, no code is run.

    Raises:
        UserError: no such file, or it does not hold this network.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from common.models.weights import read_weights

    state = read_weights(weights)
    with tempfile.NamedTemporaryFile(suffix=".pth") as plain:
        torch.save(state, plain.name)
        try:
            return FeatureExtractorInceptionV3("inception", [str(FEATURES)], plain.name)
        except RuntimeError as error:
            keys = [line.strip() for line in str(error).splitlines()[1:]]
            raise UserError(f"weights: {weights} is not {WEIGHTS}: {listing(keys, 2)}") from error


def as_seen(path: Path) -> np.ndarray:
    """uint8 (299, 299, 3). Raises BadImage."""
    from PIL import Image, ImageOps

    image = Image.fromarray(read_rgb(path, SIDE))
    return np.asarray(ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.BICUBIC))
