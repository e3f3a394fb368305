"""What every method has: its data on the host, its step, and what steps share."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .host import Ranges
from .network import DEPTH, start

SIDE = 1 << DEPTH  # of a patch


class Method:
    """A step is `before`, `loss`, the optimiser's update, `after`.

    `job` has images `[count, channels, size, size]` and their volumes on the host, width, channels,
    size, steps, rounds (epochs) and device.
    """

    def __init__(self, job, net):
        self.job, self.net = job, net.apply(start).to(job.device)
        self.rng = np.random.default_rng(1)

    def order(self, epoch, shuffled):
        """The images of each step."""
        return shuffled

    def batch(self, index, epoch):
        """What `loss` reads of the images `index`; made in a thread beside the steps."""
        raise NotImplementedError

    def before(self, epoch):
        pass

    def loss(self, batch, epoch):
        raise NotImplementedError

    def frozen(self, epoch):
        """Parameters that are not updated."""
        return []

    def after(self, epoch, done):
        pass

    def end(self, epoch):
        pass

    def put(self, x):
        return x.to(self.job.device)


class Contrastive(Method):
    def __init__(self, job, net):
        super().__init__(job, net)
        self.ranges = Ranges(job.images, job.volumes)


@torch.no_grad()
def follow(teacher, student, momentum, statistics=False):
    """The teacher's parameters go a little towards the student's."""
    pairs = list(zip(teacher.parameters(), student.parameters()))
    if statistics:
        pairs += [p for p in zip(teacher.buffers(), student.buffers()) if p[0].is_floating_point()]
    for own, other in pairs:
        own.lerp_(other, 1 - momentum)


class Queue:
    def __init__(self, length, width, device):
        self.keys = F.normalize(torch.randn(length, width), dim=1).to(device)
        self.next = 0

    @torch.no_grad()
    def push(self, keys):
        """After the backward pass, which reads the queue as the loss saw it."""
        at = torch.arange(self.next, self.next + len(keys), device=keys.device) % len(self.keys)
        self.keys[at] = keys
        self.next = (self.next + len(keys)) % len(self.keys)


def nt_xent(a, b, t):
    z = F.normalize(torch.cat([a, b]), dim=1)
    n = len(a)
    logits = (z @ z.T / t).fill_diagonal_(-1e9)
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, partner)


def against_queue(query, key, queue, t):
    query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
    own = (query * key).sum(1, keepdim=True)
    logits = torch.cat([own, query @ queue.T], 1) / t
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=own.device))


def in_groups(forward, x, groups=4):
    """Parts of a batch one after the other, each with statistics of its own."""
    return [forward(part) for part in x.chunk(min(groups, len(x)))]


def rising(base, done, total):
    return 1 - (1 - base) * (math.cos(math.pi * done / total) + 1) / 2
