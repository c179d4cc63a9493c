"""Depthwise 3×3 followed by pointwise 1×1 convolutions, few parameters for their width, after MobileNet."""

import torch.nn as nn


class SeparableBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size=3, stride=stride, padding=1, groups=in_channels, bias=False
        )
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU()

    def forward(self, x):
        x = self.activation(self.norm1(self.depthwise(x)))
        return self.activation(self.norm2(self.pointwise(x)))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        widths = (32, 64, 128, 128)
        self.stem = nn.Sequential(
            nn.Conv2d(in_shape[1], widths[0], kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.block1 = SeparableBlock(widths[0], widths[1])
        self.block2 = SeparableBlock(widths[1], widths[2], stride=2)
        self.block3 = SeparableBlock(widths[2], widths[3])
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(widths[3], out_shape[0])

    def forward(self, x):
        x = self.stem(x)
        x = self.block1(x)
        x = self.block2(x)
        x = self.block3(x)
        x = x.mean(dim=(2, 3))
        return self.head(self.dropout(x))
