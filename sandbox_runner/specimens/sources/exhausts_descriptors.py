"""Opens files until it may not, in ten processes."""

import os
import time

import torch

for _ in range(10):
    if os.fork() == 0:
        while True:
            try:
                os.dup(0)
            except OSError:
                time.sleep(60)
opened = []
try:
    while len(opened) < 70_000:
        opened.append(os.open("/dev/null", os.O_RDONLY))
    print("BREACH", len(opened))
except OSError:
    pass
print("TRIED", len(opened))
for file in opened:
    os.close(file)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
