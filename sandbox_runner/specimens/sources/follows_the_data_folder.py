"""Looks in the data folder at every moment, in case the examination comes to lie there."""

import os

import torch

TRAINING = {"train_images.bin", "train_labels.bin"}


def look(moment):
    print("TRIED", moment)
    for folder, folders, names in os.walk("/data"):
        for name in [*folders, *names]:
            if name not in TRAINING or os.path.islink(os.path.join(folder, name)):
                print("BREACH", moment, folder, name)
            if os.path.getsize(os.path.join(folder, name)) not in (512 * 64, 512 * 8):
                print("BREACH size", moment, name)


look("import")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        look("build")

    def forward(self, images):
        look("training" if self.training else "examination")
        return self.classify(images.flatten(1))
