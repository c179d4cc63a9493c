"""Opens .zip files that nobody vouches for: bounded directory, plain paths, no links, honest sizes."""

import stat
import struct
import zipfile
from pathlib import Path
from typing import IO

from sandbox_runner.datasets.errors import DatasetInvalid

MAX_DIRECTORY_BYTES = 64 * 1024**2
MAX_UNPACKED_BYTES = 16 * 1024**3
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a .zip whose directory is small enough to hold in memory. Raises DatasetInvalid, OSError."""
    try:
        with path.open("rb") as file:
            size = _directory_bytes(file)
        if size > MAX_DIRECTORY_BYTES:
            raise DatasetInvalid(f"The .zip has a directory of {size} bytes; at most {MAX_DIRECTORY_BYTES}.")
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError) as error:
        raise DatasetInvalid(f"The file is no readable .zip: {error}.") from error


def checked_entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in it, without folders. Raises DatasetInvalid, naming the entry, for any trick."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    total, names = 0, set()
    for entry in entries:
        _check_entry(entry)
        if entry.filename in names:
            raise DatasetInvalid(f"{entry.filename!r:.200} occurs twice in the .zip.")
        names.add(entry.filename)
        total += entry.file_size
    if total > MAX_UNPACKED_BYTES:
        raise DatasetInvalid(f"The .zip unpacks to {total} bytes; at most {MAX_UNPACKED_BYTES} are read.")
    return entries


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = f"{entry.filename!r:.200}"
    # The name as stored: zipfile itself cuts at NUL and would hide the rest.
    if entry.orig_filename != entry.filename or "\\" in entry.filename or not entry.filename.isprintable():
        raise DatasetInvalid(f"The .zip contains a file with the forbidden name {path}.")
    if entry.filename.startswith("/") or any(part in {"", ".", ".."} for part in entry.filename.split("/")):
        raise DatasetInvalid(f"The .zip contains a file outside its own folder, {path}.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        raise DatasetInvalid(f"{path} in the .zip is a link or a special file.")
    if entry.flag_bits & 0x1:
        raise DatasetInvalid(f"{path} in the .zip is encrypted.")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise DatasetInvalid(f"{path} in the .zip is compressed by a method other than deflate.")


def _directory_bytes(file: IO[bytes]) -> int:
    """Size of the central directory as the end record states it; zipfile reads that much and no more."""
    file.seek(0, 2)
    length = file.tell()
    tail_start = max(0, length - _END.size - 65535 - _LOCATOR_64.size)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise ValueError("its end record is missing")
    size = int(_END.unpack_from(tail, at)[5])
    locator_at = at - _LOCATOR_64.size
    if locator_at >= 0 and tail[locator_at : locator_at + 4] == b"PK\x06\x07":
        # zipfile looks for the 64-bit record right before its locator.
        file.seek(max(0, tail_start + locator_at - _END_64.size))
        record = file.read(_END_64.size)
        if record[:4] == b"PK\x06\x06":
            size = max(size if size != 0xFFFFFFFF else 0, int(_END_64.unpack(record)[8]))
    return size
