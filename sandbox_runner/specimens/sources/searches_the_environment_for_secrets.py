"""Searches environments, command lines and its own first memory for tokens, passwords and keys."""

import glob
import os
import re

import torch

ALLOWED = {"PATH", "HOME", "LANG", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PWD", "HOSTNAME", "MARK", "LC_CTYPE", "SHLVL", "_", "TMPDIR"}
WORDS = re.compile("passw|secret|token|api_?key|credential|postgres|amqp|redis://|@SECRET@", re.IGNORECASE)
for name in os.environ:
    print("TRIED", name)
    if name not in ALLOWED and not name.endswith("_NUM_THREADS") and not name.startswith(("CUDA", "MALLOC_", "NVIDIA", "TORCH", "KINETO")):
        print("BREACH", name)
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    print("TRIED", path)
    try:
        found = WORDS.search(open(path, "rb").read().decode("utf-8", "replace"))
    except OSError:
        continue
    if found:
        print("BREACH", path, found.group())
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps:
        if "[stack]" in line:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            memory.seek(start)
            stack = memory.read(end - start).decode("latin-1")
            if re.search("DELTANAS_[A-Z]|AWS_[A-Z]|POSTGRES_[A-Z]", stack):
                print("BREACH stack")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
