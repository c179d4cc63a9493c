"""Small wheels that look like LEMUR's, for tests."""

import io
import json
import zipfile

SOURCE = """
import torch.nn as nn


def supported_hyperparameters():
    return {"lr"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        pass
"""
INFORMATION = "nn_dataset-9.9.dist-info"
NEEDED = {
    f"{INFORMATION}/METADATA": "Metadata-Version: 2.4\nName: nn-dataset\nVersion: 9.9\n\nName: other\n",
    f"{INFORMATION}/licenses/LICENSE": "MIT License\n\nCopyright (c) 2024- Some One\nAll rights reserved.\n",
}


def results_at(network, dataset="mnist", epoch=1, task="img-classification", metric="acc"):
    """Where a wheel has the rows of a network."""
    return f"ab/nn/stat/train/{task}_{dataset}_{metric}_{network}/{epoch}.json"


def row(accuracy, **hyperparameters):
    """One run."""
    return {
        "accuracy": accuracy,
        "duration": 5,
        "uid": "x",
        "lr": 0.1,
        "transform": "norm_32",
    } | hyperparameters


def zipped(members):
    """A zip file of (name, content); what is neither text nor bytes becomes JSON."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return file


def wheel(members, needed=NEEDED):
    """A wheel with these members beside what every wheel needs."""
    return zipped([*needed.items(), *members.items()])
