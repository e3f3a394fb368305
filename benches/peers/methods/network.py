"""The U-Net, and the heads that methods put on it."""

import torch
import torch.nn.functional as F
from torch import nn

CONV = {2: (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d, F.max_pool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d, F.max_pool3d)}
DEPTH = 4


class DoubleConv(nn.Sequential):
    def __init__(self, inputs, outputs, axes=2):
        conv, norm, _, _ = CONV[axes]
        layers = []
        for a in (inputs, outputs):
            layers += [
                conv(a, outputs, 3, padding=1, bias=False),
                norm(outputs),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class Encoder(nn.Module):
    """Features of every level, finest first."""

    def __init__(self, width, inputs, axes=2):
        super().__init__()
        self.pool = CONV[axes][3]
        self.widths = [width << i for i in range(DEPTH + 1)]
        self.enc = nn.ModuleList(
            DoubleConv(a, b, axes) for a, b in zip([inputs, *self.widths], self.widths)
        )

    def forward(self, x):
        features = []
        for i, block in enumerate(self.enc):
            x = block(self.pool(x, 2) if i else x)
            features.append(x)
        return features

    def sparse(self, x, visible):
        """Of visible patches alone: zeros elsewhere, statistics of what is visible."""
        features, x = [], visible.keep(x)
        for i, block in enumerate(self.enc):
            x = self.pool(x, 2) if i else x
            for conv, norm in (block[0], block[1]), (block[3], block[4]):
                x = visible.scatter(F.relu(norm(visible.gather(conv(x))), inplace=True))
            features.append(x)
        return features


class Decoder(nn.Module):
    """Maps of every level, finest first, from those of an encoder."""

    def __init__(self, widths, axes=2):
        super().__init__()
        up = CONV[axes][2]
        pairs = list(zip(widths[1:], widths))[::-1]
        self.up = nn.ModuleList(up(a, b, 2, stride=2) for a, b in pairs)
        self.dec = nn.ModuleList(DoubleConv(a, b, axes) for a, b in pairs)

    def forward(self, features):
        *skips, x = features
        levels = [x]
        for up, block in zip(self.up, self.dec):
            x = block(torch.cat([skips.pop(), up(x)], 1))
            levels.insert(0, x)
        return levels


class UNet(nn.Module):
    def __init__(self, width, inputs, outputs, axes=2):
        super().__init__()
        self.encoder = Encoder(width, inputs, axes)
        self.decoder = Decoder(self.encoder.widths, axes)
        self.out = CONV[axes][0](width, outputs, 1)

    def decode(self, features):
        return self.out(self.decoder(features)[0])

    def forward(self, x):
        return self.decode(self.encoder(x))


def start(module):
    """The initial weights of our side, by which initial losses are those of our side."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=(2 / module.in_channels) ** 0.5)
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def pooled(features):
    return features[-1].mean((2, 3))


def projection(widths, norm=False, bias=True, last_bias=True):
    """Linear layers with ReLU between them."""
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        last = i == len(widths) - 2
        layers.append(nn.Linear(a, b, bias=last_bias if last else bias))
        if not last:
            layers += ([nn.BatchNorm1d(b)] if norm else []) + [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def rows(x):
    """`[n, c, h, w]` to a row per position."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


class Visible:
    """The visible patches of a batch, from a mask `[n, rows, cols]` that is 1 at hidden ones."""

    def __init__(self, mask, device):
        self.shape = mask.shape
        self.index = (mask == 0).flatten().nonzero().flatten().to(device)
        self.map = (1 - mask).unsqueeze(1).to(device)

    def gather(self, x):
        (_, c, h, w), (n, rows, cols) = x.shape, self.shape
        s, t = h // rows, w // cols
        cells = x.view(n, c, rows, s, cols, t).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, s, t)
        return cells[self.index]

    def scatter(self, packed):
        (_, c, s, t), (n, rows, cols) = packed.shape, self.shape
        cells = packed.new_zeros(n * rows * cols, c, s, t).index_copy(0, self.index, packed)
        cells = cells.view(n, rows, cols, c, s, t).permute(0, 3, 1, 4, 2, 5)
        return cells.reshape(n, c, rows * s, cols * t)

    def keep(self, x):
        return self.scatter(self.gather(x))

    def blend(self, x, other):
        """`x` at visible places, `other` at hidden ones."""
        map = F.interpolate(self.map, x.shape[2:], mode="nearest")
        return x * map + other * (1 - map)


class Densify(nn.Module):
    """A trainable vector at hidden places, then a 1x1 convolution."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, inputs, 1, 1), std=0.02))
        self.proj = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, visible):
        return self.proj(visible.blend(x, self.token))


class LightDecoder(nn.Module):
    """The way up with half the widths, with skips from the finest levels."""

    def __init__(self, widths, outputs, skips=DEPTH):
        super().__init__()
        half = [w // 2 for w in widths]
        self.bottom = Densify(widths[-1], half[-1])
        self.skips, self.up, self.dec = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(DEPTH)):
            self.skips.append(Densify(widths[i], half[i]) if i < skips else None)
            self.up.append(nn.ConvTranspose2d(half[i + 1], half[i], 2, stride=2))
            self.dec.append(DoubleConv(half[i] * (2 if i < skips else 1), half[i]))
        self.out = nn.Conv2d(half[0], outputs, 1)

    def forward(self, features, visible):
        *finer, bottom = features
        x = self.bottom(bottom, visible)
        for skip, up, block in zip(self.skips, self.up, self.dec):
            feature, x = finer.pop(), up(x)
            x = block(x if skip is None else torch.cat([skip(feature, visible), x], 1))
        return self.out(x)


class Residual(nn.Module):
    def __init__(self, channels, count):
        super().__init__()
        self.blocks = nn.ModuleList(DoubleConv(channels, channels) for _ in range(count))

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x


class MaskTile(nn.Module):
    """A trainable tile in place of hidden patches."""

    def __init__(self, channels, side):
        super().__init__()
        self.tile = nn.Parameter(nn.init.trunc_normal_(torch.empty(channels, side, side), std=0.02))

    def forward(self, x, visible):
        side = self.tile.shape[-1]
        return visible.blend(x, self.tile.repeat(1, x.shape[2] // side, x.shape[3] // side))
