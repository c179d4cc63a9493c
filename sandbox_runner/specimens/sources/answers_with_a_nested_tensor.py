"""Returns a nested tensor, whose rows have no common length."""

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        logits = self.classify(images.flatten(1))
        return logits if self.training else torch.nested.nested_tensor([row[: 1 + number % 4] for number, row in enumerate(logits)])
