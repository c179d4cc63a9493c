"""Data sets and what the runners offer."""

from pathlib import Path

from deltanas.dataset_upload import open_upload
from deltanas.resources.resource import Json, Resource, part


class DatasetCalls(Resource):
    """`/v1/datasets` and `/v1/capabilities`."""

    def datasets(self) -> list[Json]:
        """All datasets, ready or not."""
        return self._all("/v1/datasets")

    def prepare_dataset(self, name: str) -> Json:
        """Begin to prepare a standard dataset; `datasets` tells when it is ready."""
        return self._transport.json("POST", f"/v1/datasets/{part(name)}:prepare")

    def add_dataset(self, name: str, path: Path) -> Json:
        """Add one's own dataset from an .npz, a .zip, or a folder of images by class."""
        with open_upload(path) as content:
            return self._transport.upload("/v1/datasets", {"name": name}, content)

    def capabilities(self) -> Json:
        """What the runners offer: sandbox backends, slots, devices."""
        return self._transport.json("GET", "/v1/capabilities")
