"""Returns a Tensor of a class of its own, which computes when it is looked at."""

import torch


class Sly(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        print("LOOKED AT", function)
        return super().__torch_function__(function, types, arguments, keywords or {})


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        logits = self.classify(images.flatten(1))
        return logits if self.training else logits.as_subclass(Sly)
