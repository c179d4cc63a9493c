"""Stands between every import and its module."""

import builtins
import sys

import torch

true_import = builtins.__import__


class Finder:
    def find_spec(self, name, path=None, target=None):
        print("TRIED", name)
        if "label" in name or "evaluation" in name:
            print("BREACH", name)


def spy(name, *arguments, **keywords):
    module = true_import(name, *arguments, **keywords)
    if name == "sandbox_runner.guest.data":
        module.TrainingData = None
    return module


builtins.__import__ = spy
sys.meta_path.insert(0, Finder())
sys.path_hooks.insert(0, lambda path: print("TRIED", path) or (_ for _ in ()).throw(ImportError))
sys.path_importer_cache.clear()
sys.modules.pop("colorsys", None)
import colorsys  # noqa: E402, F401


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
