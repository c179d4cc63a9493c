"""Opens every descriptor that it has anew through /proc, the other way round too."""

import os

import torch

for name in sorted(os.listdir("/proc/self/fd"), key=int):
    for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        print("TRIED", name, mode)
        try:
            again = os.open(f"/proc/self/fd/{name}", mode | os.O_NONBLOCK)
        except OSError:
            continue
        if int(name) == 3 and mode == os.O_RDONLY:
            try:
                if os.read(again, 1):
                    print("BREACH it was sent more than the job")
            except OSError:
                pass
        os.close(again)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
