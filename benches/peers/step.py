"""PyTorch's side of training.py: the steps of step.rs in eager mode. Prints one line of JSON."""

import argparse
import json
import time
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from methods import METHODS
from methods.host import loader
from methods.network import UNet

# Slices of a volume, for methods that know volumes.
SLICES = 4


def dice_bce(logits, target):
    p = torch.sigmoid(logits)
    rest = [0, *range(2, p.dim())]
    overlap = (p * target).sum(rest)
    total = (p + target).sum(rest)
    dice = ((2 * overlap + 1e-5) / (total + 1e-5)).mean()
    return 1 - dice + F.binary_cross_entropy_with_logits(logits, target)


def masked_mse(output, target, mask, side):
    losses = F.avg_pool2d((output - target).square().mean(1, keepdim=True), side).flatten(1)
    return (losses * mask).sum() / mask.sum()


def memory(field):
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def report(a, ends, losses, parameters, before):
    seconds, cpu = ([(q[k] - p[k]) / a.steps for p, q in zip(ends, ends[1:])] for k in (0, 1))
    used = torch.cuda.max_memory_allocated() if a.device == "cuda" else memory("VmHWM") - before
    print(json.dumps({"seconds": seconds, "cpu": cpu, "bytes": used, "losses": losses, "parameters": parameters}))


def optimiser_of(model):
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)


def pretrain(a, images, device):
    """The step of a method, its batches made on the host by a thread: when rounds ended, the mean
    loss of each, the number of trained parameters."""
    count = len(images)
    job = SimpleNamespace(
        images=images.numpy(), volumes=[i // SLICES for i in range(count)], width=a.width,
        channels=a.channels, size=a.size, steps=a.steps, rounds=a.rounds, device=device,
        options=json.loads(a.options),
    )
    method = METHODS[a.method](job)
    method.net.train()
    optimiser = optimiser_of(method.net)
    ends, means, done = [], [], 0
    for epoch in range(1, a.rounds + 1):
        order = torch.randperm(count).view(a.steps, a.batch).tolist()
        losses = []
        for batch in loader(lambda i: method.batch(i, epoch), method.order(epoch, order)):
            method.before(epoch)
            loss = method.loss(batch, epoch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            for parameter in method.frozen(epoch):
                parameter.grad = None
            optimiser.step()
            done += 1
            method.after(epoch, done)
            losses.append(loss.detach())
        method.end(epoch)
        means.append(torch.stack(losses).mean().item())
        ends.append((time.perf_counter(), time.process_time()))
    return ends, means, sum(p.numel() for p in method.net.parameters() if p.requires_grad)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="finetune")
    parser.add_argument("--method", default="", help="for pretrain: a method of methods/; none is masked reconstruction")
    parser.add_argument("--options", default="{}", help="of the method, as JSON")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--channels-last", action="store_true")
    for name, default in (("width", 16), ("batch", 8), ("size", 160), ("channels", 1), ("steps", 3),
                          ("rounds", 4), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    if a.method and (a.precision != "f32" or a.channels_last):
        parser.error("methods are compared in f32 and in the usual layout")
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    device = torch.device(a.device)
    count = a.batch * a.steps
    axes = 3 if a.task.endswith("3d") else 2
    images = torch.randn(count, a.channels, *[a.size] * axes)
    masks = (torch.randn(0 if a.method else count, 3, *[a.size] * axes) > 1).float()
    before = memory("VmRSS")
    if a.method:
        report(a, *pretrain(a, images, device), before)
        return
    side, patches = 16, (a.size // 16) ** 2
    outputs = a.channels if a.task == "pretrain" else 3
    model = UNet(a.width, a.channels, outputs, axes).to(device)
    layout = torch.channels_last if a.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    optimiser = optimiser_of(model)
    cast = torch.autocast(device.type, torch.bfloat16, enabled=a.precision == "bf16")
    host = torch.Generator().manual_seed(2)

    def predict(x, _):
        with torch.inference_mode(), cast:
            model(x.to(device, memory_format=layout)).float().cpu()

    def train(x, m):
        if a.task == "pretrain":
            # Three quarters of the patches, chosen and zeroed on the host.
            chosen = torch.rand(len(x), patches, generator=host).argsort(1) < patches * 3 // 4
            grid = chosen.view(len(x), 1, a.size // side, a.size // side).float()
            hidden = F.interpolate(grid, scale_factor=side, mode="nearest")
            with cast:
                y = model((x * (1 - hidden)).to(device, memory_format=layout))
            loss = masked_mse(y.float(), x.to(device), chosen.float().to(device), side)
        else:
            with cast:
                y = model(x.to(device, memory_format=layout))
            loss = dice_bce(y.float(), m.to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.detach()

    step = predict if a.task.startswith("predict") else train
    model.train(step is train)
    ends, means = [], []
    for _ in range(a.rounds):
        losses = []
        for i in range(a.steps):
            part = slice(i * a.batch, (i + 1) * a.batch)
            losses.append(step(images[part], masks[part]))
        if step is train:
            means.append(torch.stack(losses).mean().item())
        ends.append((time.perf_counter(), time.process_time()))
    report(a, ends, means, sum(p.numel() for p in model.parameters()), before)


if __name__ == "__main__":
    main()
