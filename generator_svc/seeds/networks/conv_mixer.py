"""Patches mixed in space by depthwise and across channels by pointwise convolutions, after ConvMixer."""

import torch.nn as nn


class MixerBlock(nn.Module):
    def __init__(self, width, kernel_size):
        super().__init__()
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )
        self.channel = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=1),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )

    def forward(self, x):
        x = x + self.spatial(x)
        return self.channel(x)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        width = 96
        kernel_size = 5
        self.patches = nn.Sequential(
            nn.Conv2d(in_shape[1], width, kernel_size=4, stride=2, padding=1),
            nn.GELU(),
            nn.BatchNorm2d(width),
            nn.MaxPool2d(2),
        )
        self.block1 = MixerBlock(width, kernel_size)
        self.block2 = MixerBlock(width, kernel_size)
        self.block3 = MixerBlock(width, kernel_size)
        self.head = nn.Linear(width, out_shape[0])

    def forward(self, x):
        x = self.patches(x)
        x = self.block1(x)
        x = self.block2(x)
        x = self.block3(x)
        return self.head(x.mean(dim=(2, 3)))
