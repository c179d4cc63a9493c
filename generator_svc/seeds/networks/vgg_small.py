"""Stages of stacked 3×3 convolutions that double their width and halve the map, after VGG."""

import torch.nn as nn


class ConvStage(nn.Module):
    def __init__(self, in_channels, out_channels, depth):
        super().__init__()
        layers = []
        for _ in range(depth):
            layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU())
            in_channels = out_channels
        layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        widths = (24, 48, 96)
        self.stage1 = ConvStage(in_shape[1], widths[0], depth=1)
        self.stage2 = ConvStage(widths[0], widths[1], depth=2)
        self.stage3 = ConvStage(widths[1], widths[2], depth=2)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[2] * 4, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, out_shape[0]),
        )

    def forward(self, x):
        x = self.stage1(x)
        x = self.stage2(x)
        x = self.stage3(x)
        return self.classifier(self.pool(x))
