"""Methods that compare whole views: SimCLR, BYOL, MoCo v2, DenseCL, SwAV."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .host import Recipe, tensor
from .method import SIDE, Contrastive, Queue, against_queue, follow, in_groups, nt_xent, rising
from .network import Encoder, pooled, projection


class Branch(nn.Module):
    """An encoder with a projection of its pooled bottleneck."""

    def __init__(self, encoder, head):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x):
        return self.head(pooled(self.encoder(x)))


class OfViews(Contrastive):
    """Its batches are a tensor per recipe."""

    recipes: list

    def batch(self, index, epoch):
        job = self.job
        views = [[] for _ in self.recipes]
        for i in index:
            for recipe, made in zip(self.recipes, views):
                made.append(recipe.view(job.images[i], self.ranges.of(i), self.rng))
        return [tensor(made) for made in views]


def full(job):
    return job.size, job.size


class SimClr(OfViews):
    def __init__(self, job):
        encoder = Encoder(job.width, job.channels)
        c = encoder.widths[-1]
        head = projection([c, c, 128], norm=True, bias=False, last_bias=False)
        head.append(nn.BatchNorm1d(128))
        head[-1].bias.requires_grad_(False)
        super().__init__(job, Branch(encoder, head))
        self.recipes = [Recipe(full(job), (0.08, 1), 0.4, 0.5)] * 2

    def loss(self, batch, epoch):
        # One pass: statistics are those of both views together.
        return nt_xent(*self.net(self.put(torch.cat(batch))).chunk(2), 0.1)


class Byol(OfViews):
    def __init__(self, job):
        encoder = Encoder(job.width, job.channels)
        c = encoder.widths[-1]
        head = projection([c, 4 * c, 256], norm=True, last_bias=False)
        predictor = projection([256, 4 * c, 256], norm=True, last_bias=False)
        net = nn.ModuleDict({"branch": Branch(encoder, head), "predictor": predictor})
        super().__init__(job, net)
        self.teacher = copy.deepcopy(net["branch"])
        size = full(job)
        self.recipes = [
            Recipe(size, (0.08, 1), 0.4, blur, adds=True, solarise=s) for blur, s in [(1, 0), (0.1, 0.2)]
        ]

    def loss(self, batch, epoch):
        views = [self.put(v) for v in batch]
        with torch.no_grad():
            targets = [self.teacher(v) for v in views]
        total = 0
        for view, target in zip(views, reversed(targets)):
            guess = self.net["predictor"](self.net["branch"](view))
            total = total + 2 - 2 * F.cosine_similarity(guess, target).mean()
        return total

    def after(self, epoch, done):
        follow(self.teacher, self.net["branch"], rising(0.99, done, self.job.rounds * self.job.steps))


class Moco(OfViews):
    def __init__(self, job, net=None):
        encoder = Encoder(job.width, job.channels)
        c = encoder.widths[-1]
        branch = Branch(encoder, projection([c, c, 128]))
        super().__init__(job, net(branch, c) if net else branch)
        self.teacher = copy.deepcopy(self.net)
        self.queue = Queue(4032, 128, job.device)
        self.recipes = [Recipe(full(job), (0.2, 1), 0.4, 0.5)] * 2

    def before(self, epoch):
        follow(self.teacher, self.net, 0.99)

    def loss(self, batch, epoch):
        first, second = (self.put(v) for v in batch)
        query = torch.cat(in_groups(self.net, first))
        # Keys are made in other groups than queries.
        order = torch.randperm(len(second), device=second.device)
        with torch.no_grad():
            key = torch.cat(in_groups(self.teacher, second[order]))
        key = F.normalize(key[order.argsort()], dim=1)
        self.keys = [(self.queue, key)]
        return against_queue(query, key, self.queue.keys, 0.1)

    def after(self, epoch, done):
        for queue, keys in self.keys:
            queue.push(keys)


class Dense(nn.Module):
    """Global embedding, positions of the bottleneck, and their embeddings."""

    def __init__(self, branch, c):
        super().__init__()
        self.branch, self.dense = branch, projection([c, c, 128])

    def forward(self, x):
        map = self.branch.encoder(x)[-1]
        positions = map.flatten(2).transpose(1, 2)
        return self.branch.head(map.mean((2, 3))), positions, self.dense(positions)


class DenseCl(Moco):
    def __init__(self, job):
        super().__init__(job, Dense)
        self.dense_queue = Queue(4032, 128, job.device)

    def see(self, net, x):
        return [torch.cat(parts) for parts in zip(*in_groups(net, x))]

    def loss(self, batch, epoch):
        first, second = (self.put(v) for v in batch)
        query, features, dense = self.see(self.net, first)
        order = torch.randperm(len(second), device=second.device)
        with torch.no_grad():
            seen = self.see(self.teacher, second[order])
            key, key_features, key_dense = (x[order.argsort()] for x in seen)
            unit = [F.normalize(x, dim=2) for x in (features, key_features)]
            at = (unit[0] @ unit[1].transpose(1, 2)).argmax(2)
            partners = key_dense.gather(1, at[..., None].expand(-1, -1, dense.shape[2]))
            key = F.normalize(key, dim=1)
            pooled_key = F.normalize(key_dense.mean(1), dim=1)
        whole = against_queue(query, key, self.queue.keys, 0.1)
        parts = against_queue(dense.flatten(0, 1), partners.flatten(0, 1), self.dense_queue.keys, 0.1)
        self.keys = [(self.queue, key), (self.dense_queue, pooled_key)]
        share = 0.5 if epoch > 2 else 0.0
        return (1 - share) * whole + share * parts


@torch.no_grad()
def sinkhorn(scores, epsilon=0.05, iterations=3):
    log = scores / epsilon
    for _ in range(iterations):
        log = log - log.logsumexp(0, keepdim=True)
        log = log - log.logsumexp(1, keepdim=True)
    return log.exp()


class Swav(OfViews):
    """Its queue begins after the 15th epoch: no step of a short run sees it."""

    def __init__(self, job):
        encoder = Encoder(job.width, job.channels)
        c = encoder.widths[-1]
        branch = Branch(encoder, projection([c, 2 * c, 128], norm=True))
        prototypes = nn.Linear(128, 512, bias=False)
        super().__init__(job, nn.ModuleDict({"branch": branch, "prototypes": prototypes}))
        local = (max(round(0.43 * job.size / SIDE), 1) * SIDE,) * 2
        self.recipes = [Recipe(full(job), (0.14, 1), 0.4, 0.5)] * 2
        self.recipes += [Recipe(local, (0.05, 0.14), 0.4, 0.5)] * 6

    @torch.no_grad()
    def before(self, epoch):
        weight = self.net["prototypes"].weight
        weight.copy_(F.normalize(weight, dim=1))

    def loss(self, batch, epoch):
        n, branch = len(batch[0]), self.net["branch"]
        sizes = [self.put(torch.cat(views)) for views in (batch[:2], batch[2:])]
        z = branch.head(torch.cat([pooled(branch.encoder(x)) for x in sizes]))
        scores = self.net["prototypes"](F.normalize(z, dim=1)).split(n)
        logs = [F.log_softmax(s / 0.1, 1) for s in scores]
        terms = []
        for i in range(2):
            code = sinkhorn(scores[i])
            terms += [-(code * log).sum(1).mean() for v, log in enumerate(logs) if v != i]
        return torch.stack(terms).mean()

    def frozen(self, epoch):
        return [self.net["prototypes"].weight] if epoch == 1 else []
