"""Uses GPUs that it was not given, and opens their devices."""

import glob
import os

import torch

print("TRIED", torch.cuda.device_count())
if torch.cuda.device_count() > 1:
    print("BREACH sees", torch.cuda.device_count(), "GPUs")
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["NVIDIA_VISIBLE_DEVICES"] = "all"
nodes = [path for path in glob.glob("/dev/nvidia[0-9]*") if os.access(path, os.R_OK | os.W_OK)]
if len(nodes) > 1:
    print("BREACH", nodes)
for path in ("/dev/nvidia-modeset", "/dev/nvidia-caps", "/dev/nvidia-nvswitchctl", "/run/nvidia-persistenced/socket", "/tmp/nvidia-mps"):
    print("TRIED", path)
    if os.path.exists(path) and os.access(path, os.W_OK):
        print("BREACH", path)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def to(self, *_, **__):
        return self  # stays on the CPU, where its score is known exactly

    def forward(self, images):
        return self.classify(images.flatten(1))
