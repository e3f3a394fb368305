"""The U-Net of amlp-run in PyTorch: same names, same shapes, same numbers."""

import torch
from torch import nn


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)))


class UNet(nn.Module):
    """`[n, inputs, h, w]` to logits `[n, outputs, h, w]`."""

    def __init__(self, inputs, outputs, width=64, depth=4):
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        down = zip([inputs] + channels, channels)
        self.enc = nn.ModuleList([DoubleConv(a, b) for a, b in down])
        levels = list(reversed(range(depth)))
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(channels[i + 1], channels[i], 2, stride=2) for i in levels]
        )
        self.dec = nn.ModuleList([DoubleConv(channels[i + 1], channels[i]) for i in levels])
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.enc):
            if level > 0:
                x = nn.functional.max_pool2d(x, 2)
            x = block(x)
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up, self.dec):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        return self.out(x)
