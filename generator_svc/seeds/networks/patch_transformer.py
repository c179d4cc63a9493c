"""A convolutional stem, then transformer encoder blocks over the positions of its map; mean-pooled."""

import torch
import torch.nn as nn


class EncoderBlock(nn.Module):
    def __init__(self, width, heads, expansion=2):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, width * expansion),
            nn.GELU(),
            nn.Linear(width * expansion, width),
        )

    def forward(self, x):
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.mlp(self.norm2(x))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        width = 64
        heads = 4
        self.stem = nn.Sequential(
            nn.Conv2d(in_shape[1], width // 2, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width // 2, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(7),
        )
        self.position = nn.Parameter(0.02 * torch.randn(1, 49, width))
        self.block1 = EncoderBlock(width, heads)
        self.block2 = EncoderBlock(width, heads)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, out_shape[0])

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = x + self.position
        x = self.block1(x)
        x = self.block2(x)
        return self.head(self.norm(x).mean(dim=1))
