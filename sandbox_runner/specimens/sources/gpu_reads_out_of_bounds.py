"""Lets a kernel on the GPU read terabytes behind its tensor."""

import torch


class Far:
    def __init__(self, tensor):
        self.__cuda_array_interface__ = {
            "shape": (1 << 42,), "typestr": "<f4", "data": (tensor.data_ptr(), False), "version": 3, "strides": None,
        }


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        beyond = torch.as_tensor(Far(images), device=images.device)
        print("TRIED", beyond[1 << 41 :: 1 << 36].sum().item())
        return self.classify(images.flatten(1))
