"""Returns float64 with gradients, in a strange layout: odd, but every number is there."""

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if self.training:
            return self.classify(images.flatten(1))
        with torch.enable_grad():
            logits = self.classify(images.flatten(1)).double().t().contiguous().t()
        print("TRIED", logits.requires_grad, logits.stride())
        return logits
