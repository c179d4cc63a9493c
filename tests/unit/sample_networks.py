"""Small networks that are quick to train and learn something, one for each contract and kind of layer."""

LINEAR = """
import torch.nn as nn
class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        pixels = in_shape[1] * in_shape[2] * in_shape[3]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, out_shape[0]))
    def forward(self, x):
        return self.layers(x)
"""

CONVOLUTIONAL = """
import torch

class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(in_shape[1], 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
            torch.nn.Flatten(), torch.nn.Dropout(0.1),
            torch.nn.Linear(8 * in_shape[2] * in_shape[3], out_shape[0]),
        )

    def forward(self, images):
        return self.layers(images)
"""

LEARNS_BY_ITSELF = """
import torch

def supported_hyperparameters():
    return {"lr", "momentum"}

class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))

    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for images, labels in train_data:
            self.optimizer.zero_grad()
            self.criterion(self(images.to(self.device)), labels.to(self.device)).backward()
            self.optimizer.step()
"""
"""Of the LEMUR contract, which brings its own training."""
