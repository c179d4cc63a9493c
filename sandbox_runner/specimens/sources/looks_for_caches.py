"""Looks for extensions, kernels and bytecode of another job."""

import os
import sys

import torch

for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/usr")]
    for name in names:
        if name.startswith("planted-by"):
            print("BREACH", folder, name)
        if folder.startswith(("/tmp", "/dev/shm")) and name.endswith((".so", ".pyc", ".cubin", ".ptx")):
            print("BREACH", folder, name)
print("TRIED", sys.pycache_prefix)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
