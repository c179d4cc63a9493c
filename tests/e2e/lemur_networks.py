"""Small networks in LEMUR's form, and wheels of them in LEMUR's layout."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

NETWORK = """\
import torch
from torch import nn


def supported_hyperparameters():
    return {"lr"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
FEATURES
        )
        self.head = HEAD

    def forward(self, images):
        return self.head(self.features(images))

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"])

    def learn(self, train_data):
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs.to(self.device)), labels.to(self.device))
            loss.backward()
            self.optimizer.step()
"""
INDENT = 12 * " "
ANY_HEAD = "nn.Sequential(nn.Flatten(), nn.LazyLinear(out_shape[0]))"


def network(features: str, head: str = ANY_HEAD) -> str:
    """A source: `features` are lines with a layer and a comma each, `head` is an expression."""
    return NETWORK.replace("FEATURES", indent(features.rstrip(), INDENT)).replace("HEAD", head)


@dataclass(frozen=True)
class Recorded:
    """A source, and one run of one epoch with it."""

    source: str
    accuracy: float
    dataset: str = "mnist"
    lr: float = 0.05
    batch: int = 16
    transform: str = "norm_32"

    @property
    def row(self) -> dict[str, object]:
        """Of its file of results."""
        hyperparameters = {"lr": self.lr, "batch": self.batch, "transform": self.transform}
        return {"accuracy": self.accuracy, "duration": 5, "uid": "x", **hyperparameters}


def wheel_of(folder: Path, networks: Mapping[str, Recorded], version: str = "9.9") -> Path:
    """A wheel of these networks, by name, in the folder."""
    file = folder / f"nn_dataset-{version}-py3-none-any.whl"
    information = f"nn_dataset-{version}.dist-info"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.4\nName: nn-dataset\nVersion: {version}\n\n"
        )
        archive.writestr(f"{information}/licenses/LICENSE", "MIT License\n\nCopyright (c) 2024- Some One\n")
        for name, recorded in networks.items():
            results = f"ab/nn/stat/train/img-classification_{recorded.dataset}_acc_{name}/1.json"
            archive.writestr(f"ab/nn/nn/{name}.py", recorded.source)
            archive.writestr(results, json.dumps([recorded.row]))
    return file
