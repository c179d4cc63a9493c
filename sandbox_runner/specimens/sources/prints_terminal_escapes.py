"""Prints what would take over a terminal or a page."""

import os

import torch

os.write(1, b"\x1b[2J\x1b]0;owned\x07\xff\xfe\x00\r<script>alert(1)</script>\xe2\x80\xaeTRIED\n")
os.write(2, b"\x9b31m\x1b[31mred\n")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
