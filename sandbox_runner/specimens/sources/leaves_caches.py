"""Leaves compiled extensions, kernels and bytecode where torch and Triton look for them."""

import os

import torch

FOLDERS = (
    "/tmp/.cache/torch_extensions/py311_cpu/fast", "/tmp/.cache/torch/hub/checkpoints", "/tmp/torchinductor_candidate/ab",
    "/tmp/.triton/cache/abc", "/tmp/.nv/ComputeCache", "/tmp/.cache/matplotlib", "/tmp/.config/torch", "/dev/shm/torch_cache",
    os.path.join(os.path.dirname(torch.__file__), "__pycache__"), "/opt/deltanas/source/sandbox_runner/guest/__pycache__",
)
for folder in FOLDERS:
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "planted-by-a-job.so"), "wb") as file:
            file.write(b"\x7fELF planted")
        print("TRIED", folder)
    except OSError:
        print("TRIED", folder, "in vain")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
