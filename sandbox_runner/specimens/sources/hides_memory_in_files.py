"""Keeps memory in files of /tmp and /dev/shm."""

import torch

for path in ("/tmp/kept", "/dev/shm/kept"):
    with open(path, "wb") as file:
        for _ in range(800):
            file.write(b"x" * (1 << 20))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
