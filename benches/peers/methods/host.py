"""What both sides do on the host, in a thread beside the steps: augmentation with NumPy and SciPy,
and the loader that runs it."""

import math
import queue
import threading
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate1d

AHEAD = 2


def loader(make, batches):
    """`make(batch)` of each, made ahead by a thread."""
    made = queue.Queue(AHEAD)

    def work():
        try:
            for batch in batches:
                made.put(make(batch))
        except BaseException as error:
            made.put(error)

    threading.Thread(target=work, daemon=True).start()
    for _ in batches:
        batch = made.get()
        if isinstance(batch, BaseException):
            raise batch
        yield batch


def tensor(arrays):
    return torch.from_numpy(np.stack(arrays).astype(np.float32, copy=False))


class Ranges:
    """Least and greatest value of each channel of each volume."""

    def __init__(self, images, volumes):
        self.volumes = volumes
        self.bounds = {}
        for v in set(volumes):
            of = images[np.array(volumes) == v]
            self.bounds[v] = np.stack([of.min((0, 2, 3)), of.max((0, 2, 3))], 1)

    def of(self, index):
        return self.bounds[self.volumes[index]]


def foreground(image, bounds):
    return ((image != 0) & (image > bounds[:, :1, None])).any(0)


def crop(shown, scale, rng):
    """Top, left, height and width of a window of a random share and aspect ratio."""
    rows, cols = shown.shape

    def draw():
        for _ in range(10):
            area = rows * cols * rng.uniform(*scale)
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= rows and 0 < w <= cols:
                return rng.integers(rows - h + 1), rng.integers(cols - w + 1), h, w
        return 0, 0, rows, cols

    for _ in range(10):
        top, left, h, w = window = draw()
        if shown[top : top + h, left : left + w].mean() >= 0.1:
            break
    return window


def resize(image, window, size):
    top, left, h, w = window
    part = torch.from_numpy(np.ascontiguousarray(image[:, top : top + h, left : left + w]))
    return F.interpolate(part[None], size, mode="bilinear", align_corners=False)[0].numpy()


def blur(plane, sigma, radius):
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return correlate1d(correlate1d(plane, kernel, 1, mode="nearest"), kernel, 0, mode="nearest")


def contrast(plane, factor):
    return np.clip(factor * plane + (1 - factor) * plane.mean(), 0, 1)


def in_unit(image, bounds, change):
    """`change` of each channel, whose intensities it sees between 0 and 1."""
    planes = []
    for plane, (low, high) in zip(image, bounds):
        planes.append(change((plane - low) / (high - low)) * (high - low) + low)
    return np.stack(planes)


@dataclass
class Recipe:
    """How a view of a slice is made."""

    size: tuple
    crop: tuple
    jitter: float
    blur: float
    adds: bool = False
    solarise: float = 0.0

    def view(self, image, bounds, rng):
        window = crop(foreground(image, bounds), self.crop, rng)
        view = resize(image, window, self.size)
        if rng.random() < 0.5:
            view = view[:, :, ::-1]
        jitters, first = rng.random() < 0.8, rng.random() < 0.5
        shift = rng.uniform(-self.jitter, self.jitter)
        factor = rng.uniform(1 - self.jitter, 1 + self.jitter)
        blurs, sigma = rng.random() < self.blur, rng.uniform(0.1, 2.0)
        solarises = rng.random() < self.solarise

        def brighten(plane):
            return np.clip(plane + shift if self.adds else plane * (1 + shift), 0, 1)

        def change(plane):
            if jitters:
                plane = brighten(plane) if first else plane
                plane = contrast(plane, factor)
                plane = plane if first else brighten(plane)
            if blurs:
                plane = blur(plane, sigma, max(self.size[0] // 20, 1))
            return np.where(plane < 0.5, plane, 1 - plane) if solarises else plane

        return in_unit(view, bounds, change)
