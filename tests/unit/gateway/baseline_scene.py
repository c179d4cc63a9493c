"""Imported networks for the gateway's tests: a reader of prepared lines, and imports brought to their end."""

import threading

from contracts.jobs import (
    BaselineNetwork,
    NetworkImportLine,
    NetworkImportSummary,
    NetworkWheel,
    ReferenceResult,
    RefusedNetwork,
)
from gateway.infra.baseline_import_journal import ImportJournal
from gateway.loop.baseline_import import BaselineImporter

WHEEL = NetworkWheel(
    package="nn-dataset",
    version="2.1.2",
    sha256="0" * 64,
    verified=True,
    licence="MIT",
    licence_text="as is",
)
SUMMARY = NetworkImportSummary(WHEEL, networks=0, refused={}, ignored_results={})
OCTETS = {"content-type": "application/octet-stream"}


def network(name: str, family: str = "resnet", **fields) -> BaselineNetwork:
    """An imported network; `accuracies` are of the first epoch, by dataset."""
    accuracies = fields.pop("accuracies", {})
    results = tuple(
        ReferenceResult(dataset, accuracy, 0.9, 5, {"lr": accuracy or 0.5, "transform": "norm"})
        for dataset, accuracy in sorted(accuracies.items())
    )
    usual = {
        "contract": "lemur",
        "description": "",
        "source": f"import torch\n\n\nclass Net(torch.nn.Module):\n    name = {name!r}\n",
        "hyperparameters": {"lr": 0.01},
        "origin": "lemur",
        "licence": "MIT, Copyright (c) its authors",
        "results": results,
    }
    return BaselineNetwork(f"lemur/{name}", family, **{**usual, **fields})


def lines(*networks: BaselineNetwork, refused: tuple[str, ...] = ()) -> list[NetworkImportLine]:
    """A whole file as the reader gives it."""
    return [
        NetworkImportLine(total=len(networks) + len(refused)),
        *(NetworkImportLine(network=found) for found in networks),
        *(NetworkImportLine(refused=RefusedNetwork("lemur/x", reason, "no")) for reason in refused),
        NetworkImportLine(summary=SUMMARY),
    ]


class Reader:
    """In the generator's place: gives the lines of one reading after the other, the last one again and again.

    An exception among the lines is raised there.
    """

    def __init__(self, *readings) -> None:
        self.readings = list(readings)
        self.files: list[bytes] = []

    def read_baselines(self, origin, file):
        self.files.append(file.read())
        reading = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        for line in reading:
            if isinstance(line, BaseException):
                raise line
            yield line

    def readiness_problems(self):
        return []


def upload(scene, content: bytes = b"wheel"):
    """Send a file; gives the answer."""
    return scene.http.post("/v1/baselines:import?origin=lemur", content=content, headers=OCTETS)


def importer(scene, reader: Reader, stopping: threading.Event | None = None) -> BaselineImporter:
    """The gateway's importer, with another reader."""
    services = scene.services
    journal = ImportJournal(services.database)
    return BaselineImporter(journal, services.baseline_spool, reader, stopping or threading.Event())


def imported(scene, *networks: BaselineNetwork, refused: tuple[str, ...] = ()) -> dict:
    """Import networks, to the end; gives the import."""
    accepted = upload(scene)
    assert accepted.status_code == 202, accepted.text
    assert importer(scene, Reader(lines(*networks, refused=refused))).import_next()
    return scene.http.get(accepted.headers["location"]).json()


def names(scene, **query) -> list[str]:
    """The names of a list, in its order."""
    answer = scene.http.get("/v1/baselines", params={"origin": "lemur", **query})
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]
