"""PyTorch's side of training.py: the steps of step.rs in eager mode. Prints one line of JSON."""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn


CONV = {2: (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d, F.max_pool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d, F.max_pool3d)}


class DoubleConv(nn.Sequential):
    def __init__(self, inputs, outputs, axes):
        conv, norm, _, _ = CONV[axes]
        layers = []
        for a in (inputs, outputs):
            layers += [
                conv(a, outputs, 3, padding=1, bias=False),
                norm(outputs),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    def __init__(self, width, depth, inputs, outputs, axes=2):
        super().__init__()
        conv, _, up, self.pool = CONV[axes]
        c = [width << i for i in range(depth + 1)]
        self.enc = nn.ModuleList(DoubleConv(a, b, axes) for a, b in zip([inputs] + c, c))
        self.up = nn.ModuleList(
            up(c[i + 1], c[i], 2, stride=2) for i in reversed(range(depth))
        )
        self.dec = nn.ModuleList(DoubleConv(c[i + 1], c[i], axes) for i in reversed(range(depth)))
        self.out = conv(width, outputs, 1)

    def forward(self, x):
        features = []
        for i, block in enumerate(self.enc):
            x = block(self.pool(x, 2) if i else x)
            features.append(x)
        features.pop()
        for up, block in zip(self.up, self.dec):
            x = block(torch.cat([features.pop(), up(x)], 1))
        return self.out(x)


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="finetune")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--channels-last", action="store_true")
    for name, default in (("width", 16), ("batch", 8), ("size", 160), ("channels", 1), ("steps", 3),
                          ("rounds", 4), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    device = torch.device(a.device)
    count = a.batch * a.steps
    axes = 3 if a.task.endswith("3d") else 2
    images = torch.randn(count, a.channels, *[a.size] * axes)
    masks = (torch.randn(count, 3, *[a.size] * axes) > 1).float()
    gpu = device.type == "cuda"
    before = memory("VmRSS")
    side, patches = 16, (a.size // 16) ** 2
    outputs = a.channels if a.task == "pretrain" else 3
    model = UNet(a.width, 4, a.channels, outputs, axes).to(device)
    layout = torch.channels_last if a.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)
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
    ends = []
    for _ in range(a.rounds):
        losses = []
        for i in range(a.steps):
            part = slice(i * a.batch, (i + 1) * a.batch)
            losses.append(step(images[part], masks[part]))
        if step is train:
            torch.stack(losses).cpu()
        ends.append((time.perf_counter(), time.process_time()))
    seconds, cpu = ([(q[k] - p[k]) / a.steps for p, q in zip(ends, ends[1:])] for k in (0, 1))
    used = torch.cuda.max_memory_allocated() if gpu else memory("VmHWM") - before
    print(json.dumps({"seconds": seconds, "cpu": cpu, "bytes": used}))


if __name__ == "__main__":
    main()
