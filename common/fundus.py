"""Fundus photographs: the round retina cut out of its black surround, and the local average subtracted (Ben Graham).

Cameras differ in how much black surrounds the retina and in how bright they show it; a network should see neither.
"""

from typing import NamedTuple

import cv2
import numpy as np

LOOK = 512
"""Longest side at which the disc is looked for: averaging over pixels on the way removes the noise of the surround."""
DARK = 16
"""Brightness (0..255) below which nothing counts as retina: an image without anything brighter has no disc."""
EDGE = 0.15
"""Brightness at the edge of the disc as a share of that of its brightest parts: above a surround that is not quite
black, below a retina that fades towards its rim."""
ON_CIRCLE, OFF = 0.6, 0.02
"""Share of the free edge that must follow one circle, and how far off it may run, as a share of the region's size."""
AVERAGE = 1 / 30
"""Deviation of Ben Graham's Gaussian as a share of the radius (`scale/30`, see `ben_graham`)."""
KEPT = 0.9
"""Share of the radius that Ben Graham keeps."""
BLUR = 4.0
"""Deviation in pixels at which the local average is taken, of an image made smaller accordingly."""
NEUTRAL = 128


class Disc(NamedTuple):
    """Center and radius of a retina, in pixels; pixel (0, 0) reaches from 0 to 1."""

    x: float
    y: float
    radius: float

    def scaled(self, factor: float) -> "Disc":
        return Disc(self.x * factor, self.y * factor, self.radius * factor)

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of an image of that shape which the disc reaches into."""
        top, bottom = max(0, round(self.y - self.radius)), min(height, round(self.y + self.radius))
        left, right = max(0, round(self.x - self.radius)), min(width, round(self.x + self.radius))
        return slice(top, bottom), slice(left, right)

    def off(self, points: np.ndarray) -> np.ndarray:
        """How far points (n, 2) lie from the circle, (n,)."""
        return np.abs(np.hypot(points[:, 0] - self.x, points[:, 1] - self.y) - self.radius)

    def mask(self, height: int, width: int) -> np.ndarray:
        """uint8 (height, width): 255 inside, 0 outside."""
        bits = 4  # cv2 takes sixteenths of a pixel, counted from the middle of pixel (0, 0)
        x, y, radius = (round((value - shift) * 2**bits) for value, shift in zip(self, (0.5, 0.5, 0), strict=True))
        return cv2.circle(np.zeros((height, width), np.uint8), (x, y), radius, 255, -1, cv2.LINE_8, bits)


def circle(image: np.ndarray) -> np.ndarray:
    """Crop a fundus photograph to the bounding box of its bright disc and blacken what lies outside of the circle.

    The disc may be cut off by the frame, off-centre or partly in shadow; specks and letters beside it are cut away.
    Where nothing round is found the image is cropped to what is bright, and an image that is dark all over is returned
    as it is.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        uint8 (h, w, 3), h ≤ H, w ≤ W; a new array or the image itself.
    """
    return cut_out(image)[0]


def ben_graham(image: np.ndarray) -> np.ndarray:
    """`circle`, then the local average subtracted and contrast raised: 4 × (image - Gaussian blur) + 128.

    The Gaussian's deviation is 1/30 of the radius, and the outer tenth of the radius, where the average reaches into
    the black, becomes 128 as everything outside.

    Source: B. Graham, "Kaggle Diabetic Retinopathy Detection competition report", 2015, the code in its appendix
    (`cv2.addWeighted(a, 4, cv2.GaussianBlur(a, (0, 0), scale/30), -4, 128)` at radius `scale`, circle of `scale*0.9`).

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        uint8 (h, w, 3), of the shape that `circle` gives.
    """
    cropped, disc = cut_out(image)
    height, width = cropped.shape[:2]
    if disc is None:  # an average over the same share of the picture, and no rim
        radius, inside = max(height, width) / 2, np.full((height, width), 255, np.uint8)
    else:
        radius, inside = disc.radius, disc._replace(radius=KEPT * disc.radius).mask(height, width)
    subtracted = cv2.addWeighted(cropped, 4, local_average(cropped, AVERAGE * radius), -4, NEUTRAL)
    subtracted[inside == 0] = NEUTRAL
    return subtracted


def cut_out(image: np.ndarray) -> tuple[np.ndarray, Disc | None]:
    """What `circle` returns, and where the disc lies in it; None where the image shows none."""
    height, width = image.shape[:2]
    scale = min(1.0, LOOK / max(height, width))
    small = smaller(image, scale) if scale < 1 else image
    region = bright_region(small)
    if region is None:
        return image, None
    disc = fit_disc(region)
    if disc is None:
        x, y, w, h = (round(value / scale) for value in cv2.boundingRect(region))
        return image[y : y + h, x : x + w].copy(), None
    disc = disc.scaled(1 / scale)
    rows, columns = disc.box(height, width)
    disc = disc._replace(x=disc.x - columns.start, y=disc.y - rows.start)
    cropped = image[rows, columns]
    return cv2.bitwise_and(cropped, cropped, mask=disc.mask(*cropped.shape[:2])), disc


def bright_region(image: np.ndarray) -> np.ndarray | None:
    """uint8 (H, W), 255 in the convex hull of the largest bright region, or None in an image that is dark all over."""
    brightness = cv2.medianBlur(image.max(axis=2), 5)
    brightest = np.percentile(brightness, 95)
    if brightest < DARK:
        return None
    bright = (brightness > max(DARK / 2, EDGE * brightest)).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(bright)
    largest = (labels == 1 + facts[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    points = np.concatenate(cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])
    return cv2.fillConvexPoly(np.zeros_like(largest), cv2.convexHull(points), 255)


def fit_disc(region: np.ndarray) -> Disc | None:
    """The circle that most of the region's edge follows where the frame does not cut it off; None where there is none.

    Fitted again and again to the points that lie closest to it: tabs that a camera leaves on the edge, and what a
    shadow bites off, do not count.
    """
    height, width = region.shape
    edge = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0][:, 0]
    free = ((edge > 0) & (edge < (width - 1, height - 1))).all(axis=1)
    points = edge[free] + 0.5
    if len(points) < 16:
        return None
    disc = least_squares_circle(points)
    for _ in range(20):
        away = disc.off(points)
        disc = least_squares_circle(points[away <= max(np.quantile(away, ON_CIRCLE), 0.5)])
    if disc.radius > max(height, width):
        return None
    area = np.count_nonzero(region)
    outside = np.count_nonzero(region[disc.mask(height, width) == 0])
    follows = (disc.off(points) <= max(OFF * np.sqrt(area), 1)).mean()
    return disc if follows >= ON_CIRCLE and outside <= 0.05 * area else None


def least_squares_circle(points: np.ndarray) -> Disc:
    """Circle through points (n, 2): x² + y² = 2ax + 2by + c solved by least squares (I. Kåsa, 1976)."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    (x, y, c), *_ = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)
    return Disc(float(x), float(y), float(np.sqrt(max(c + x**2 + y**2, 0.0))))


def local_average(image: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian blur of an image of any size in the time of a small one: made smaller, blurred, enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, BLUR / deviation)
    if scale == 1:
        return cv2.GaussianBlur(image, (0, 0), deviation)
    small = smaller(image, scale)
    blurred = cv2.GaussianBlur(small, (0, 0), BLUR)
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)


def smaller(image: np.ndarray, scale: float) -> np.ndarray:
    """Averaged over what falls into each pixel; a strip, however thin, stays one pixel wide."""
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
