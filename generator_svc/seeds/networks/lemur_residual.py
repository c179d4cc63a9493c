"""Pre-activation residual blocks trained with AdamW and a falling step size, in LEMUR's contract."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def supported_hyperparameters():
    return {"lr", "momentum"}


class PreActivationBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)

    def forward(self, x):
        y = F.relu(self.norm1(x))
        z = self.conv1(y)
        z = self.conv2(F.relu(self.norm2(z)))
        return z + self.shortcut(y)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        widths = (24, 48, 96)
        self.stem = nn.Conv2d(in_shape[1], widths[0], kernel_size=3, padding=1, bias=False)
        self.block1 = PreActivationBlock(widths[0], widths[0], stride=2)
        self.block2 = PreActivationBlock(widths[0], widths[1], stride=2)
        self.block3 = PreActivationBlock(widths[1], widths[2], stride=1)
        self.norm = nn.BatchNorm2d(widths[2])
        self.head = nn.Linear(widths[2], out_shape[0])

    def forward(self, x):
        x = self.block1(self.stem(x))
        x = self.block2(x)
        x = self.block3(x)
        x = F.relu(self.norm(x))
        return self.head(x.mean(dim=(2, 3)))

    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
        self.optimizer = torch.optim.AdamW(
            self.parameters(), lr=prm["lr"], betas=(prm["momentum"], 0.999), weight_decay=0.02
        )

    def learn(self, train_data):
        self.train()
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=len(train_data))
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criterion(self(inputs), labels)
            loss.backward()
            self.optimizer.step()
            scheduler.step()
