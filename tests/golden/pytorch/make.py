"""Writes the golden files of tests/pytorch.rs with PyTorch. Weights and images are not stored: both
sides compute them from the same integers.

    python make.py                               # files beside this one
    python make.py --predict MODEL --images IN --out OUT

The second form loads a model that `amlp-run weights export` wrote and writes its logits.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unet import UNet

HERE = Path(__file__).parent
IMAGES, INPUTS, OUTPUTS, SIDE = 4, 2, 2, 16
WIDTH, DEPTH, STEPS = 4, 2, 20


def noise(stream, count):
    """Numbers in [-1, 1) with 24 bits, the same on every machine."""
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x += np.uint64(stream + 1) * np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(31)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(29)
    return (x >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def weight(stream, name, shape):
    u = noise(stream, math.prod(shape))
    leaf = name.rsplit(".", 1)[1]
    if leaf == "running_var":
        values = 1.0 + 0.5 * u
    elif leaf == "weight" and len(shape) == 1:
        values = 1.0 + 0.25 * u
    elif leaf == "weight":
        fan = shape[0] if name.startswith("up.") else math.prod(shape[1:])
        values = u * math.sqrt(6.0 / fan)
    else:
        values = 0.1 * u
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def model(inputs=INPUTS, outputs=OUTPUTS, width=WIDTH, depth=DEPTH):
    net = UNet(inputs, outputs, width, depth)
    state = net.state_dict()
    names = sorted(n for n in state if not n.endswith("num_batches_tracked"))
    for stream, name in enumerate(names):
        state[name].copy_(weight(stream, name, tuple(state[name].shape)))
    return net


def data():
    shape = (IMAGES, INPUTS, SIDE, SIDE)
    images = torch.from_numpy(noise(1000, math.prod(shape)).astype(np.float32).reshape(shape))
    first, second = images[:, 0], images[:, 1]
    return images, torch.stack([first > 0, first + second > 0.5], dim=1).float()


def soft_dice(logits, target):
    p = torch.sigmoid(logits)
    overlap, total = (p * target).sum((0, 2, 3)), (p + target).sum((0, 2, 3))
    return 1 - ((2 * overlap + 1e-5) / (total + 1e-5)).mean()


def bce(logits, target):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target)


def groups(net, decay):
    """Only parameters of more than one dimension are decayed."""
    many = [p for p in net.parameters() if p.dim() > 1]
    one = [p for p in net.parameters() if p.dim() == 1]
    return [{"params": many, "weight_decay": decay}, {"params": one, "weight_decay": 0.0}]


def sgd(net):
    return torch.optim.SGD(groups(net, 1e-2), lr=0.05, momentum=0.9)


def adamw(net):
    return torch.optim.AdamW(groups(net, 0.05), lr=5e-3, betas=(0.9, 0.999), eps=1e-8)


def warm_cosine(step, peak=5e-3, low=1e-4, warm=5):
    if step < warm:
        return peak * step / warm
    wave = 0.5 * (1 + math.cos(math.pi * (step - warm) / (STEPS - warm)))
    return low + (peak - low) * wave


# Name: optimiser, loss, learning rate by step, largest norm of the gradient.
RUNS = {
    "sgd": (sgd, lambda x, t: soft_dice(x, t) + bce(x, t), None, 0.0),
    "adamw": (adamw, lambda x, t: soft_dice(x, t) + bce(x, t), None, 0.0),
    "schedule": (adamw, soft_dice, warm_cosine, 0.05),
}


def train(make, loss, schedule, clip):
    net, (images, target) = model().train(), data()
    optimiser = make(net)
    losses = []
    for step in range(STEPS):
        if schedule:
            for group in optimiser.param_groups:
                group["lr"] = schedule(step)
        value = loss(net(images), target)
        losses.append(value.item())
        optimiser.zero_grad()
        value.backward()
        if clip > 0:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimiser.step()
    net.eval()
    with torch.no_grad():
        return torch.tensor(losses, dtype=torch.float64), net(images), net.state_dict()


def golden():
    net, (images, _) = model().eval(), data()
    with torch.no_grad():
        stored = {"evaluation": net(images)}
    for name, run in RUNS.items():
        losses, output, state = train(*run)
        print(name, losses[0].item(), losses[-1].item())
        stored[f"{name}.losses"] = losses
        # Two images say as much as four.
        stored[f"{name}.output"] = output[:2].clone()
        for at, value in state.items():
            if "running_" in at:
                stored[f"{name}.{at}"] = value
    save_file(stored, HERE / "golden.safetensors")


def checkpoints():
    small = model(1, 1, 2, 1)
    wrapped = {
        "epoch": 3,
        "state_dict": {f"module.{n}": v for n, v in small.state_dict().items()},
        "optimizer": torch.optim.SGD(small.parameters(), lr=0.1).state_dict(),
    }
    torch.save(wrapped, HERE / "wrapped.pth")
    torch.save(small.state_dict(), HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    half = {n: v.bfloat16() if v.is_floating_point() else v for n, v in small.state_dict().items()}
    torch.save(half, HERE / "bfloat16.pth")
    save_file({n: v.half() for n, v in half.items()}, HERE / "half.safetensors")


def predict(file, images, out):
    with safe_open(file, "pt") as opened:
        card = json.loads(opened.metadata()["amlp"])
    backbone = card["backbone"]
    inputs, outputs = card["shape"][0], len(card["regions"])
    net = UNet(inputs, outputs, backbone["width"], backbone["depth"])
    net.load_state_dict(load_file(file))
    net.eval()
    with torch.no_grad():
        save_file({"logits": net(load_file(images)["images"])}, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--predict", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    if arguments.predict:
        predict(arguments.predict, arguments.images, arguments.out)
    else:
        golden()
        checkpoints()
