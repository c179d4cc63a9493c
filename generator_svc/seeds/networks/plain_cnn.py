"""Three 3×3 convolutions with batch normalisation and pooling, then a small classifier: the plain CNN."""

import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.conv1 = nn.Conv2d(in_shape[1], 32, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 96, kernel_size=3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(96)
        self.pool = nn.MaxPool2d(2)
        self.squeeze = nn.AdaptiveAvgPool2d(3)
        self.hidden = nn.Linear(96 * 9, 128)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(128, out_shape[0])

    def forward(self, x):
        x = self.pool(F.relu(self.norm1(self.conv1(x))))
        x = self.pool(F.relu(self.norm2(self.conv2(x))))
        x = self.pool(F.relu(self.norm3(self.conv3(x))))
        x = self.squeeze(x).flatten(1)
        x = F.relu(self.hidden(x))
        return self.head(self.dropout(x))
