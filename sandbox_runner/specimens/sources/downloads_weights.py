"""Wants pretrained weights from the internet."""

import torch

WEIGHTS = "https://download.pytorch.org/models/resnet18-f37072fd.pth"


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        self.weights = torch.hub.load_state_dict_from_url(WEIGHTS)

    def forward(self, images):
        return self.classify(images.flatten(1))
