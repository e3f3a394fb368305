"""AMLP: which patches are hidden by category and distance, ever more of them, and two losses more."""

import math

import numpy as np
import torch

from .masked import SIDE, patch_means, patches
from .method import Method
from .network import UNet


class Amlp(Method):
    def __init__(self, job):
        super().__init__(job, UNet(job.width, job.channels, job.channels))
        self.grid = job.size // SIDE
        self.labels = (torch.rand(len(job.images), self.grid**2) < 0.5).numpy()
        self.shadow = self.labels.copy()

    def masked(self, epoch):
        tau = math.log(self.job.rounds) / 0.55 if self.job.rounds > 1 else math.inf
        n = self.grid**2
        return min(max(int(n * min(0.25 + math.log(epoch) / tau, 0.8) + 1e-4), 1), n - 1)

    def batch(self, index, epoch):
        parts = [self.sample(i, epoch) for i in index]
        return [torch.from_numpy(np.stack(part)) for part in zip(*parts)]

    def sample(self, i, epoch):
        """The image, its hidden patches, and the plane between the centres of its categories."""
        image, labels = self.job.images[i], self.labels[i]
        c, h, w = image.shape
        x = patches(torch.from_numpy(image)[None])[0].flatten(0, 1).numpy()
        hidden = np.zeros(len(x), np.float32)
        direction, offset, divided = np.zeros_like(image), np.zeros(1, np.float32), labels.any() and not labels.all()
        scores = np.full(len(x), 0.5)
        if divided:
            c1, c0 = x[labels].mean(0), x[~labels].mean(0)
            d1, d0 = (np.linalg.norm(x - centre, axis=1) for centre in (c1, c0))
            scores = d0 / (d1 + d0)
            tile = 2 * (c1 - c0).reshape(c, SIDE, SIDE)
            direction = np.tile(tile, (1, h // SIDE, w // SIDE))
            offset[:] = ((c0**2).sum() - (c1**2).sum()) / len(c1)
        # The foreground first, what is closest to its centre first, ties in random order.
        hidden[np.lexsort((self.rng.permutation(len(x)), -scores, ~labels))[: self.masked(epoch)]] = 1
        pixels = np.kron(hidden.reshape(self.grid, self.grid), np.ones((SIDE, SIDE), np.float32))
        return image * (1 - pixels), image, hidden, direction, offset, np.int64(i), np.array(divided)

    def judge(self, losses, hidden, index, divided):
        """New labels where a loss and a label disagree, by a coin; where they changed, the loss on
        categories is taken."""
        new, applied = torch.zeros_like(losses), torch.zeros_like(losses)
        for k, (i, at) in enumerate(zip(index.tolist(), hidden)):
            at = at.nonzero().flatten().numpy()
            of, old = losses[k].numpy()[at], self.labels[i, at]
            mean = of.mean(dtype=np.float64)
            if mean < 1e-8:
                continue
            coin = self.rng.random(len(at)) < 0.5
            label = np.where((of >= mean) == old, old, coin)
            self.shadow[i, at] = label
            new[k, at] = torch.from_numpy(label).float()
            applied[k, at] = torch.from_numpy((label != old) & bool(divided[k])).float()
        return new, applied

    def loss(self, batch, epoch):
        x, target, hidden, direction, offset, index, divided = batch
        output, target, mask = self.net(self.put(x)), self.put(target), self.put(hidden)
        of_patches = lambda values: patch_means(values).flatten(1)
        total = len(x) * self.masked(epoch)
        losses = of_patches((output - target).square())
        prediction = (losses * mask).sum() / total
        # Relative: each loss weighed by itself over the mean of its image.
        with torch.no_grad():
            mean = ((losses * mask).sum(1, keepdim=True) / self.masked(epoch)).clamp(min=1e-8)
            weights = losses * mask / mean
        relative = (weights * losses * mask).sum() / total
        new, applied = self.judge(losses.detach().cpu(), hidden, index, divided)
        new, applied = self.put(new), self.put(applied)
        q = torch.sigmoid(of_patches(output * self.put(direction)) + self.put(offset))
        terms = new * (q + 0.1).log() + (1 - new) * (1.1 - q).log()
        return prediction + relative - (terms * applied).sum() / total

    def end(self, epoch):
        self.labels[:] = self.shadow
