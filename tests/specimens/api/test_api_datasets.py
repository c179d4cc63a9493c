"""Data sets that attack whoever unpacks them."""

import io
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from api_target import Target, refused
from live_server import DATASET

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def _uploaded(target: Target, name: str, content: bytes) -> httpx.Response:
    headers = {"content-type": "application/octet-stream"}
    return target.http.post("/v1/datasets", params={"name": name}, content=content, headers=headers)


class Exploding:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.canary), "w"))


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _member(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def _object_array(canary: Path) -> bytes:
    bomb = np.array([Exploding(canary)], dtype=object)
    return _npz(images=bomb, labels=np.zeros(1, dtype=np.int64))


def _pickle_as_array(canary: Path) -> bytes:
    return _zip(
        ("images.npy", pickle.dumps(Exploding(canary))), ("labels.npy", pickle.dumps(Exploding(canary)))
    )


def _torch_file(canary: Path) -> bytes:
    return _zip(("archive/data.pkl", pickle.dumps(Exploding(canary))), ("archive/version", b"3\n"))


def _header_that_computes(canary: Path) -> bytes:
    header = f"{{'descr': open({str(canary)!r}, 'w'), 'fortran_order': False, 'shape': (1,)}}".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return _zip(("images.npy", array), ("labels.npy", array))


def _lying_header(_canary: Path) -> bytes:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 9999, 9999)}"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100)
    return _zip(("images.npy", array), ("labels.npy", array))


def _bomb(_canary: Path) -> bytes:
    return _zip(*((f"ant/{i}.png", bytes(40_000_000)) for i in range(3)))


def _declared_bomb(_canary: Path) -> bytes:
    """A directory that promises 17 GiB."""
    data = bytearray(_zip(*((f"c{i % 2}/{i}.png", b"x") for i in range(8)), method=zipfile.ZIP_STORED))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
        at += 4
    return bytes(data)


UPLOADS: dict[str, Callable[[Path], bytes]] = {
    "an array of pickled objects": _object_array,
    "pickles named as arrays": _pickle_as_array,
    "a file of torch.save": _torch_file,
    "a bare pickle": lambda canary: pickle.dumps(Exploding(canary)),
    "an array header that computes": _header_that_computes,
    "an array header that lies": _lying_header,
    "a member above its folder": lambda canary: _zip((f"../../{canary.name}", b"x")),
    "a member with an absolute path": lambda _: _zip(("/etc/cron.d/evil", b"x")),
    "a member with backslashes": lambda _: _zip(("ant\\..\\..\\x.png", b"x")),
    "a member with a NUL": lambda _: _zip(("ant/xQ.png", b"x")).replace(b"ant/xQ.png", b"ant/x\0.png"),
    "a link": lambda _: _zip((_member("ant/x.png", stat.S_IFLNK), b"/etc/passwd")),
    "a device": lambda _: _zip((_member("ant/x.png", stat.S_IFBLK), b"")),
    "a pipe": lambda _: _zip((_member("ant/x.png", stat.S_IFIFO), b"")),
    "pictures that unpack to much": _bomb,
    "a directory that promises too much": _declared_bomb,
    "a script as a picture": lambda _: _zip(
        ("ant/x.png", b"<script>"), ("bee/x.png", b"<svg onload=alert(1)>")
    ),
    "nothing": lambda _: b"",
    "noise": lambda _: np.random.default_rng(0).bytes(50_000),
}


@pytest.mark.parametrize("make", UPLOADS.values(), ids=UPLOADS.keys())
def test_a_data_set_that_attacks_its_reader_is_refused_and_leaves_nothing(
    target: Target, make: Callable[[Path], bytes]
) -> None:
    before = target.stored()
    answer = _uploaded(target, "evil", make(target.canary))
    refused(target, answer, 422, "dataset_unavailable", "dataset")
    assert target.stored() == before


HARMLESS = _npz(images=np.zeros((8, 4, 4), np.uint8), labels=np.arange(8) % 2)
NAMES = ["../evil", "/etc/evil", "evil\0", "a/b", ".", "", "EVIL", "x" * 65, "evil\n", "-rf", "<b>"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_data_set_under_an_impossible_name_is_refused(target: Target, name: str) -> None:
    before = target.stored()
    answer = _uploaded(target, name, HARMLESS)
    refused(target, answer, 422, "invalid_request", "query.name")
    assert target.stored() == before


@pytest.mark.parametrize(
    ("name", "status", "code", "field"),
    [
        ("fashion-mnist", 409, "dataset_name_taken", "name"),
        (DATASET, 422, "dataset_unavailable", "dataset"),
    ],
)
def test_nobody_replaces_a_data_set_that_is_there(
    target: Target, name: str, status: int, code: str, field: str
) -> None:
    before = target.stored()
    answer = _uploaded(target, name, HARMLESS)
    refused(target, answer, status, code, field)
    assert target.stored() == before
