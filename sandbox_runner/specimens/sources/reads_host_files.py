"""Looks for a canary, secrets and label files anywhere it can reach."""

import os

import torch

KEPT_BACK = ("evaluation_labels.bin", "evaluation_images.bin", "pack.json", "shadow", "test_batch")
for path in ("@CANARY@", "/etc/shadow", "/root/.ssh", "/root/.bashrc", "@HOME@", "/home", "/var/lib", "/run"):
    print("TRIED", path)
    try:
        if os.path.isdir(path):
            if os.listdir(path):
                print("BREACH", path)
        else:
            open(path).read()
            print("BREACH", path)
    except OSError:
        pass
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc", "/usr", "/opt/deltanas/packages")):
        continue
    for name in names:
        if name in KEPT_BACK or name.startswith("t10k-"):
            print("BREACH", folder, name)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
