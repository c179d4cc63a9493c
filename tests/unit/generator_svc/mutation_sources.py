"""Small networks for the tests of mutation and of the symbolic run."""

LITERAL_WIDTHS = """import torch.nn as nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.conv1 = nn.Conv2d(in_shape[1], 16, 3, padding=1)  # the stem
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(32 * 4, out_shape[0])

    def forward(self, x):
        x = nn.functional.relu(self.norm1(self.conv1(x)))
        x = nn.functional.relu(self.conv2(x))
        x = self.pool(x)
        x = x.view(-1, 32 * 4)
        return self.head(x)
"""

RESIDUAL_LITERALS = """import torch.nn as nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.left = nn.Conv2d(in_shape[1], 16, 1)
        self.right = nn.Conv2d(in_shape[1], 16, 3, padding=1)
        self.head = nn.Linear(16, out_shape[0])

    def forward(self, x):
        return self.head((self.left(x) + self.right(x)).mean((2, 3)))
"""

HARD_CODED_CLASSES = """import torch.nn as nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.head = nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], 10)

    def forward(self, x):
        return self.head(x.flatten(1))
"""

BLOCKS = """import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, width, depth=2):
        super().__init__()
        layers = []
        for _ in range(depth):
            layers.append(nn.Conv2d(width, width, 3, padding=1))
            layers.append(nn.ReLU())
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return self.body(x)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        widths = (8, 16)
        self.stem = nn.Sequential(
            nn.Conv2d(in_shape[1], widths[0], 3, padding=1),  # keeps the size
            nn.ReLU(),
        )
        self.block = Block(widths[0])
        self.grow = nn.Conv2d(widths[0], widths[1], 1)
        self.head = nn.Linear(widths[1], out_shape[0])

    def forward(self, x):
        x = self.stem(x)
        x = self.block(x)
        x = self.grow(x)
        return self.head(x.mean(dim=(2, 3)))
"""

UNDECIDED = """import torch.nn as nn
from elsewhere import backbone


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.body = backbone(in_shape)
        self.act = nn.ReLU()
        self.head = nn.Conv2d(16, 10, 1)

    def forward(self, x):
        return self.head(self.act(self.body(x))).mean((2, 3))
"""

LEMUR = """import torch
import torch.nn as nn


def supported_hyperparameters():
    return {"lr"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.body = nn.Conv2d(in_shape[1], 16, 3)
        self.head = nn.Linear(16, out_shape[0])

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

    def train_setup(self, prm):
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=0.9)

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criterion(self(inputs), labels)
            loss.backward()
            self.optimizer.step()
"""
