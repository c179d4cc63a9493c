"""Lets a kernel on the GPU stop itself: an index that is outside its tensor."""

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        everything = torch.zeros(4, device=images.device)
        everything[torch.full((1,), 1 << 40, device=images.device)] = 1
        torch.cuda.synchronize()
        return self.classify(images.flatten(1))
