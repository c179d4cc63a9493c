"""Parallel 1×1, 3×3, 5×5 and pooling branches whose outputs are concatenated, after Inception."""

import torch
import torch.nn as nn


def conv_unit(in_channels, out_channels, kernel_size):
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class InceptionBlock(nn.Module):
    def __init__(self, in_channels, width):
        super().__init__()
        self.branch1 = conv_unit(in_channels, width, 1)
        self.branch3 = nn.Sequential(conv_unit(in_channels, width, 1), conv_unit(width, width, 3))
        self.branch5 = nn.Sequential(conv_unit(in_channels, width // 2, 1), conv_unit(width // 2, width, 5))
        self.branch_pool = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), conv_unit(in_channels, width, 1)
        )

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)], dim=1)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        stem_width = 32
        widths = (16, 32)
        self.stem = conv_unit(in_shape[1], stem_width, 3)
        self.pool = nn.MaxPool2d(2)
        self.block1 = InceptionBlock(stem_width, widths[0])
        self.block2 = InceptionBlock(4 * widths[0], widths[1])
        self.head = nn.Linear(4 * widths[1], out_shape[0])

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = self.pool(self.block1(x))
        x = self.block2(x)
        return self.head(x.mean(dim=(2, 3)))
