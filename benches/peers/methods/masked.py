"""Methods that hide patches: MAE, SimMIM, MaskFeat, ConvMAE, BEiT v2, BootMAE, SelfMedMAE."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .method import SIDE, Method, follow
from .network import DEPTH, Densify, Encoder, LightDecoder, MaskTile, Residual, Visible, rows

BINS, CELL, CODES = 9, 8, 8192


def keep_down(n, ratio):
    return n - math.floor(n * (1 - ratio))


def blocks(grid, target, least, most, rng, exact=False, persists=False):
    """A mask of blocks of patches with about, or with exactly, `target` hidden ones."""
    mask, tries = np.zeros((grid, grid), bool), 0
    while mask.sum() < target:
        before = mask.sum()
        cap = min(target - before, most)
        for _ in range(10):
            # With less left than a block's least area the interval is reversed, as on our side.
            area = least + (cap - least) * rng.random()
            aspect = math.exp(rng.uniform(-1, 1) * math.log(10 / 3))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h >= grid or w >= grid:
                continue
            top, left = rng.integers(grid - h + 1), rng.integers(grid - w + 1)
            block = mask[top : top + h, left : left + w]
            if 0 < block.size - block.sum() <= cap:
                block[:] = True
                break
        tries += 10
        if mask.sum() == before and not (persists and tries < 10_000):
            break
    if exact or persists:
        rest = rng.permutation(np.flatnonzero(~mask))
        mask.flat[rest[: max(target - mask.sum(), 0)]] = True
    return mask


def patches(x):
    """`[n, c, h, w]` to `[n, rows, cols, c * SIDE * SIDE]`."""
    n, c, h, w = x.shape
    x = x.view(n, c, h // SIDE, SIDE, w // SIDE, SIDE)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3)


def patch_means(x):
    return F.avg_pool2d(x.mean(1, keepdim=True), SIDE).squeeze(1)


def normalised(images, unbiased, eps=1e-6):
    """Images with every patch at mean 0 and variance 1."""
    n, c, h, w = images.shape
    x = patches(images)
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=unbiased) + eps).sqrt()
    x = x.view(n, h // SIDE, w // SIDE, c, SIDE, SIDE).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(n, c, h, w)


class Masked(Method):
    ratio = 0.75

    def __init__(self, job, net):
        super().__init__(job, net)
        self.grid = job.size // SIDE

    def mask(self):
        n = self.grid**2
        hidden = np.zeros(n, bool)
        hidden[self.rng.permutation(n)[: keep_down(n, self.ratio)]] = True
        return hidden.reshape(self.grid, self.grid)

    def image(self, i):
        return self.job.images[i]

    def target(self, images, index):
        """Of the images; none where these are it."""

    def batch(self, index, epoch):
        images = torch.from_numpy(np.stack([self.image(i) for i in index]))
        mask = np.stack([self.mask() for _ in index])
        return images, torch.from_numpy(mask).float(), self.target(images, index)

    def loss(self, batch, epoch):
        images, mask, target = batch
        x, visible = self.put(images), Visible(mask, self.job.device)
        target = x if target is None else self.put(target)
        return self.of(x, visible, self.put(mask), target, epoch)

    def of(self, x, visible, mask, target, epoch):
        """The loss of images on the device."""
        raise NotImplementedError


class MaeNet(nn.Module):
    def __init__(self, job, skips=DEPTH):
        super().__init__()
        self.encoder = Encoder(job.width, job.channels)
        self.decoder = LightDecoder(self.encoder.widths, job.channels, skips)


class Mae(Masked):
    def __init__(self, job):
        super().__init__(job, MaeNet(job))

    def target(self, images, index):
        return normalised(images, unbiased=True)

    def of(self, x, visible, mask, target, epoch):
        output = self.net.decoder(self.net.encoder.sparse(x, visible), visible)
        return (patch_means((output - target).square()) * mask).sum() / mask.sum()


class SelfMedMae(Mae):
    ratio = 0.125

    def image(self, i):
        down, across = self.rng.random(2) < 0.2
        return self.job.images[i][:, :: -1 if down else 1, :: -1 if across else 1]

    def target(self, images, index):
        return normalised(images, unbiased=False)


class Filled(Masked):
    """A tile in place of hidden patches, and a 1x1 convolution of the bottleneck."""

    def __init__(self, job, outputs):
        encoder = Encoder(job.width, job.channels)
        tile, head = MaskTile(job.channels, SIDE), nn.Conv2d(encoder.widths[-1], outputs, 1)
        super().__init__(job, nn.ModuleDict({"encoder": encoder, "tile": tile, "head": head}))

    def bottleneck(self, x, visible):
        return self.net["encoder"](self.net["tile"](x, visible))[-1]


class SimMim(Filled):
    def __init__(self, job):
        super().__init__(job, job.channels * SIDE**2)

    def mask(self):
        n = self.grid**2
        hidden = np.zeros(n, bool)
        hidden[self.rng.permutation(n)[: math.ceil(n * 0.6)]] = True
        return hidden.reshape(self.grid, self.grid)

    def of(self, x, visible, mask, target, epoch):
        output = F.pixel_shuffle(self.net["head"](self.bottleneck(x, visible)), SIDE)
        per_patch = patch_means((output - target).abs())
        return (per_patch * mask).sum() / (mask.sum() + 1e-5 / SIDE**2)


class MaskFeat(Filled):
    def __init__(self, job):
        super().__init__(job, job.channels * BINS * (SIDE // CELL) ** 2)

    def mask(self):
        target = round(0.4 * self.grid**2)
        return blocks(self.grid, target, target // 5, target, self.rng)

    def target(self, images, index):
        return hog(images.numpy())

    def of(self, x, visible, mask, target, epoch):
        losses = (self.net["head"](self.bottleneck(x, visible)) - target).square().mean(1)
        return (losses * mask).sum() / mask.sum().clamp(min=1)


def hog(images):
    """Histograms of gradients, `[n, c * BINS * k * k, rows, cols]` for `k * k` cells per patch."""
    n, c, h, w = images.shape
    p = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    across = p[..., :-2] - p[..., 2:]
    gx = across[:, :, :-2] + 2 * across[:, :, 1:-1] + across[:, :, 2:]
    down = p[:, :, :-2] - p[:, :, 2:]
    gy = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    bins = np.floor(np.arctan2(gx, gy) / np.pi * BINS).astype(np.int64) % BINS
    cells = (h // CELL) * (w // CELL)
    y, x = np.mgrid[:h, :w] // CELL
    at = (np.arange(n * c).reshape(n, c, 1, 1) * cells + y * (w // CELL) + x) * BINS + bins
    sums = np.bincount(at.ravel(), np.hypot(gx, gy).ravel(), n * c * cells * BINS)
    sums = torch.from_numpy(sums).float().view(n, c, h // SIDE, SIDE // CELL, w // SIDE, SIDE // CELL, BINS)
    histograms = F.normalize(sums, dim=-1).permute(0, 1, 6, 3, 5, 2, 4)
    return histograms.reshape(n, -1, h // SIDE, w // SIDE)


class Beit2(Masked):
    """The step after the tokenizer: codes of patches are given."""

    def __init__(self, job):
        encoder = Encoder(job.width, job.channels)
        tile, head = MaskTile(job.channels, SIDE), nn.Linear(encoder.widths[-1], CODES)
        super().__init__(job, nn.ModuleDict({"encoder": encoder, "tile": tile, "head": head}))
        self.codes = torch.randint(CODES, (len(job.images), self.grid, self.grid))

    def mask(self):
        n = self.grid**2
        target = round(75 / 196 * n)
        return blocks(self.grid, target, round(16 / 196 * n), target, self.rng, exact=True)

    def target(self, images, index):
        return self.codes[index]

    def of(self, x, visible, mask, target, epoch):
        features = self.net["encoder"](self.net["tile"](x, visible))[-1]
        hidden = mask.flatten() == 1
        return F.cross_entropy(self.net["head"](rows(features)[hidden]), target.flatten()[hidden])


class ConvMaeNet(nn.Module):
    def __init__(self, job):
        super().__init__()
        self.encoder = Encoder(job.width, job.channels)
        *finer, c = self.encoder.widths
        strides = [1 << (DEPTH - i) for i in range(DEPTH)]
        self.fuse = nn.ModuleList(nn.Conv2d(a, c, s, stride=s) for a, s in zip(finer, strides))
        self.densify, self.decoder = Densify(c, c // 2), Residual(c // 2, 4)
        self.head = nn.Conv2d(c // 2, job.channels * SIDE**2, 1)


class ConvMae(Mae):
    def __init__(self, job):
        Masked.__init__(self, job, ConvMaeNet(job))

    def of(self, x, visible, mask, target, epoch):
        net = self.net
        *finer, fused = net.encoder.sparse(x, visible)
        for conv, feature in zip(net.fuse, finer):
            fused = fused + conv(feature)
        output = F.pixel_shuffle(net.head(net.decoder(net.densify(fused, visible))), SIDE)
        return (patch_means((output - target).square()) * mask).sum() / mask.sum()


class BootMaeNet(MaeNet):
    def __init__(self, job):
        super().__init__(job, skips=2)
        c = self.encoder.widths[-1]
        self.densify, self.blocks = Densify(c, c // 2), Residual(c // 2, 2)
        self.features = nn.Conv2d(c // 2, c, 1)


class BootMae(Masked):
    def __init__(self, job):
        super().__init__(job, BootMaeNet(job))
        self.teacher = copy.deepcopy(self.net.encoder).eval()

    def mask(self):
        n, rng = self.grid**2, self.rng
        hidden = keep_down(n, 0.75)
        share = lambda s: round(s * n)
        made = blocks(
            self.grid, min(share(120 / 196), hidden), share(16 / 196), max(share(60 / 196), 1), rng, persists=True
        ).ravel()
        # Single patches beside the blocks, and some of both exchanged.
        order = [rng.permutation(np.flatnonzero(made == kind)) for kind in (False, True)]
        last = np.roll(np.concatenate(order), rng.integers(4))[n - hidden :]
        mask = np.zeros(n, bool)
        mask[last] = True
        return mask.reshape(self.grid, self.grid)

    def target(self, images, index):
        channels = images.shape[1]
        one_by_one = normalised(images.reshape(-1, 1, *images.shape[2:]), unbiased=False, eps=1e-5)
        return one_by_one.view(-1, channels, *images.shape[2:])

    def of(self, x, visible, mask, target, epoch):
        net = self.net
        features = net.encoder.sparse(x, visible)
        weights = mask + mask * F.avg_pool2d(mask[:, None], 3, stride=1, padding=1).squeeze(1)
        weighed = lambda losses: (losses * weights).sum() / mask.sum()
        pixel = weighed(patch_means((net.decoder(features, visible) - target).square()))
        with torch.no_grad():
            goal = self.teacher(x)[-1]
        guess = net.features(net.blocks(net.densify(features[-1], visible)))
        layer_norm = lambda f: F.layer_norm(f.permute(0, 2, 3, 1), f.shape[1:2], eps=1e-6)
        feature = weighed((layer_norm(guess) - layer_norm(goal)).square().mean(-1))
        return pixel + min(4 * epoch / self.job.rounds, 1) * feature

    def after(self, epoch, done):
        steps = self.job.steps
        decay = 0.999 + (epoch - 1) / 100 * 0.0009
        decay = decay ** (312 / steps) if steps < 312 else decay
        follow(self.teacher, self.net.encoder, decay, statistics=True)
