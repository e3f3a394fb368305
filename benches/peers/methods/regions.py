"""Contrastive methods that look further than at views: global contrast of volumes, PCRL, vox2vec."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .host import blur, contrast, crop, foreground, in_unit, resize, tensor
from .method import SIDE, Contrastive, Queue, against_queue, follow, nt_xent
from .network import Encoder, UNet, projection, rows
from .views import Branch

PARTS = 4


class Gl(Contrastive):
    """The global stage: slices of as many volumes as the batch has room for, a slice of each part
    of a volume, and a copy of each."""

    def __init__(self, job):
        encoder = Encoder(job.width, job.channels)
        c = encoder.widths[-1]
        self.cells = min(job.size // SIDE, 3)
        head = projection([c * self.cells**2, c, 128], bias=False, last_bias=False)
        super().__init__(job, nn.Sequential(encoder, head))
        self.slices = [np.flatnonzero(np.array(job.volumes) == v) for v in sorted(set(job.volumes))]

    def order(self, epoch, shuffled):
        steps = []
        for step in shuffled:
            count = min(max(len(step) // PARTS, 2), len(self.slices))
            chosen = self.rng.permutation(len(self.slices))[:count]
            parts = [part for v in chosen for part in np.array_split(self.slices[v], PARTS)]
            steps.append([int(self.rng.choice(part)) for part in parts])
        return steps

    def batch(self, index, epoch):
        images = []
        for i in range(0, len(index), PARTS):
            volume = index[i : i + PARTS]
            images += [self.job.images[k] for k in volume] + [self.copy(k) for k in volume]
        return tensor(images)

    def copy(self, i):
        side = self.job.size
        size = max(round(100 * side / 192), 1)
        last = min(69 * side // 192, side - size)
        top, left = self.rng.integers(min(-(-10 * side // 192), last), last + 1, 2)
        view = resize(self.job.images[i], (top, left, size, size), (side, side))
        shift, factor = self.rng.uniform(-0.3, 0.3), self.rng.uniform(0.7, 1.3)
        change = lambda plane: contrast(np.clip(plane + shift, 0, 1), factor)
        return in_unit(view, self.ranges.of(i), change)

    def loss(self, batch, epoch):
        encoder, head = self.net
        cells = F.adaptive_avg_pool2d(encoder(self.put(batch))[-1], self.cells)
        z = F.normalize(head(cells.flatten(1)), dim=1)
        # Rows are volumes, of each the copies, of each the parts.
        volumes = len(z) // (2 * PARTS)
        at = torch.arange(len(z)).view(volumes, 2, PARTS)
        own, next = at, at.roll(-1, 0)
        sets = [(own[:, 0], own[:, 1]), (own[:, 0], next[:, 0]), (next[:, 0], next[:, 1]), (own[:, 1], next[:, 1])]
        a = torch.cat([p.flatten() for pair in sets for p in pair]).to(z.device)
        b = torch.cat([p.flatten() for pair in sets for p in reversed(pair)]).to(z.device)
        part = torch.arange(len(z), device=z.device) % PARTS
        similarity = z @ z.T / 0.1
        others = similarity.masked_fill(part[:, None] == part, -1e9).logsumexp(1)
        return F.softplus(others[a] - similarity[a, b]).mean()


class Pcrl(Contrastive):
    """Contrast with a queue, and reconstruction from features that a code of the turn gates."""

    def __init__(self, job):
        unet = UNet(job.width, job.channels, job.channels)
        c = unet.encoder.widths[-1]
        gate = nn.Sequential(nn.Linear(6, c // 4), nn.ReLU(), nn.Linear(c // 4, c), nn.Sigmoid())
        net = {"unet": unet, "head": projection([c, 128, 128]), "gate": gate}
        super().__init__(job, nn.ModuleDict(net))
        self.branch = Branch(self.net["unet"].encoder, self.net["head"])
        self.teacher = copy.deepcopy(self.branch)
        self.queue = Queue(4032, 128, job.device)

    def batch(self, index, epoch):
        views = [[self.view(i) for i in index] for _ in range(2)]
        return [[tensor(part) for part in zip(*view)] for view in views]

    def view(self, i):
        """What is seen, the same turned, the clean window, and the code of the turn."""
        image, bounds, rng, side = self.job.images[i], self.ranges.of(i), self.rng, self.job.size
        window = crop(foreground(image, bounds), (0.2, 1), rng)
        clean = resize(image, window, (side, side))
        seen = rotate(clean, rng.uniform(-10, 10))
        seen = seen[:, :, ::-1] if rng.random() < 0.5 else seen
        blurs, sigma, first = rng.random() < 0.5, rng.uniform(0.1, 2), rng.random() < 0.5
        brightness, factor = rng.uniform(0.6, 1.4, 2).tolist()

        def change(plane):
            plane = blur(plane, sigma, max(side // 20, 1)) if blurs else plane
            plane = np.clip(plane * brightness, 0, 1) if first else plane
            plane = contrast(plane, factor)
            return plane if first else np.clip(plane * brightness, 0, 1)

        seen = in_unit(seen, bounds, change)
        half = (32 * side // 224) // 2
        for y, x in rng.integers(side, size=(3, 2)):
            seen[:, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
        down, across, quarters = rng.random() < 0.5, rng.random() < 0.5, int(rng.integers(4))
        turned = seen[:, ::-1] if down else seen
        turned = np.rot90(turned[:, :, ::-1] if across else turned, quarters, (1, 2))
        return seen, turned, clean, np.array([down, across, *np.eye(4)[quarters]])

    def see(self, branch, x):
        features = branch.encoder(x)
        return features, branch.head(features[-1].mean((2, 3)))

    def loss(self, batch, epoch):
        unet, gate = self.net["unet"], self.net["gate"]
        (x1, m1, g1, c1), (x2, m2, g2, c2) = ([self.put(part) for part in view] for view in batch)
        u = self.rng.random(3)
        alpha, alpha_mixed, share = np.maximum(u, 1 - u).tolist()
        partners = torch.from_numpy(self.rng.permutation(len(x1))).to(x1.device)
        mix = lambda a, b, alpha: alpha * a + (1 - alpha) * b
        blend = lambda a, b, alpha: [mix(p, q, alpha) for p, q in zip(a, b)]
        mixed = lambda x: mix(x, x[partners], share)
        gated = lambda features, code: [*features[:-1], features[-1] * gate(code)[..., None, None]]

        with torch.no_grad():
            taught, key = self.see(self.teacher, x2)
            also_taught, key_also = self.see(self.teacher, mixed(x2))
            key_mixed = mixed(key)
        seen, query = self.see(self.branch, x1)
        own = gated(seen, c1)
        y = unet.decode(own)
        y_blended = unet.decode(blend(own, gated(taught, c2), alpha))
        also, query_also = self.see(self.branch, mixed(x1))
        z = unet.decode(also)
        z_blended = unet.decode(blend(also, also_taught, alpha_mixed))

        pairs = [(query, key), (query_also, key_also), (query_also, key_mixed)]
        contrasts = sum(against_queue(q, k, self.queue.keys, 0.1) for q, k in pairs) / 3
        g1, g2 = mixed(g1), mixed(g2)
        pixels = (
            F.mse_loss(y, m1)
            + F.mse_loss(y_blended, mix(m1, m2, alpha))
            + F.mse_loss(z, g1)
            + F.mse_loss(z_blended, mix(g1, g2, alpha_mixed))
        ) / 4
        self.keys = [F.normalize(k, dim=1) for _, k in pairs]
        return contrasts + pixels

    def after(self, epoch, done):
        for keys in self.keys:
            self.queue.push(keys)
        follow(self.teacher, self.branch, 0.99)


def rotate(image, degrees):
    """By the nearest pixel; from outside comes what the corners have."""
    side = image.shape[1]
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    row = np.rint(y * cos + x * sin + (side - 1) / 2).astype(np.int64)
    col = np.rint(x * cos - y * sin + (side - 1) / 2).astype(np.int64)
    inside = (row >= 0) & (col >= 0) & (row < side) & (col < side)
    fill = np.sort(image[:, [0, 0, -1, -1], [0, -1, 0, -1]], 1)[:, 1, None, None]
    turned = image[:, row.clip(0, side - 1), col.clip(0, side - 1)]
    return np.where(inside, turned, fill)


class Vox2Vec(Contrastive):
    """A pixel of two windows has one vector, made of all scales of the decoder."""

    def __init__(self, job):
        unet = UNet(job.width, job.channels, 1)
        c = sum(unet.encoder.widths)
        net = {"unet": unet, "head": projection([c, c, c, 128], norm=True)}
        super().__init__(job, nn.ModuleDict(net))
        steps = min(round(2 * job.size / 3 / SIDE), 96 // SIDE)
        self.window = max(steps, 1) * SIDE
        self.pixels = job.options.get("pixels", 0)

    def batch(self, index, epoch):
        side, rng = self.window, self.rng
        count = min(self.pixels or 10240 // len(index), (side - side // 2) ** 2)
        views, places = ([], []), ([], [])
        for i in index:
            image, bounds = self.job.images[i], self.ranges.of(i)
            shown = foreground(image, bounds)
            seen = np.flatnonzero(shown)
            anchor = divmod(int(rng.choice(seen)), self.job.size)
            starts = np.empty((2, 2), np.int64)
            for axis, a in enumerate(anchor):
                low, high = max(a + 1 - side, 0), min(a, self.job.size - side)
                first = rng.integers(low, high + 1)
                low, high = max(low, first - side // 2), min(high, first + side // 2)
                starts[:, axis] = first, rng.integers(low, high + 1)
            low, high = starts.max(0), starts.min(0) + side
            shared = np.stack(np.mgrid[low[0] : high[0], low[1] : high[1]], -1).reshape(-1, 2)
            rng.shuffle(shared)
            hidden = ~shown[shared[:, 0], shared[:, 1]]
            chosen = shared[hidden.argsort(kind="stable")[:count]]
            for k, (top, left) in enumerate(starts):
                view = image[:, top : top + side, left : left + side]
                views[k].append(in_unit(view, bounds, self.change()))
                places[k].append(chosen - starts[k])
        return [tensor(v) for v in views], [torch.from_numpy(np.stack(p)) for p in places]

    def change(self):
        rng = self.rng
        filters, blurs, noisy = rng.random(3) < 0.5
        wide, narrow, strength = rng.uniform(0.25, 1.5), rng.uniform(0.5, 1), rng.uniform(10, 30)
        noise, windowed = rng.uniform(0, 0.0128), rng.random() < 0.8
        low, high = rng.uniform(0, 0.1489), rng.uniform(0.7021, 1)
        low, high = (low, high) if windowed else (0, 1)
        soft = lambda plane, sigma: blur(plane, sigma, max(round(4 * sigma), 1))

        def change(plane):
            if filters and blurs:
                plane = soft(plane, wide)
            elif filters:
                plane = soft(plane, narrow)
                plane = plane + strength * (plane - soft(plane, 0.5))
            if noisy:
                plane = plane + noise * rng.standard_normal(plane.shape, dtype=np.float32)
            return np.clip((plane - low) / (high - low), 0, 1)

        return change

    def loss(self, batch, epoch):
        unet, head = self.net["unet"], self.net["head"]
        embedded = []
        for view, places in zip(*batch):
            levels = unet.decoder(unet.encoder(self.put(view)))
            parts = []
            for level, map in enumerate(levels):
                n, _, h, w = map.shape
                row, col = (places >> level).unbind(2)
                at = (torch.arange(n)[:, None] * h + row) * w + col
                parts.append(rows(map)[self.put(at.flatten())])
            embedded.append(head(torch.cat(parts, 1)))
        return nt_xent(*embedded, 0.1)
