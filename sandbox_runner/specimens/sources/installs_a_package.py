"""Wants to install a package from the internet."""

import subprocess
import sys

import torch

subprocess.run([sys.executable, "-m", "pip", "install", "--no-input", "timm"], check=True)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
