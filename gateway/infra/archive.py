"""A tar of files with a manifest of their sizes and digests: written whole, read back without trust.

Names are plain relative paths, members are regular files, and what is not in the manifest, or is not what
the manifest says, is refused. So nothing of an archive lands outside its folder or follows a link.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
PUBLIC_MODE = 0o444
"""Of what sandboxes read: no sandbox that sees it may empty it."""
_CHUNK = 1024 * 1024
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,255}"
_NAME = re.compile(rf"{_PART}(?:/{_PART}){{0,8}}")


class ArchiveRefused(Exception):
    """The file is no backup, or not all of one. The message says what is wrong with it."""


class FileChanged(Exception):
    """A file was removed or changed while it was archived."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was removed or changed in the meantime")
        self.name = name


@dataclass(frozen=True)
class ArchivedFile:
    """One file of an archive."""

    name: str
    size_bytes: int
    sha256: str
    is_public: bool
    """Whether other users of the host may read it, as sandboxes read training images."""


@dataclass(frozen=True)
class Manifest:
    """What an archive holds. `about` is its maker's."""

    about: Mapping[str, Any]
    files: tuple[ArchivedFile, ...]


def write_archive(target: Path, files: Mapping[str, Path], about: Mapping[str, Any]) -> Manifest:
    """Write the files under their names. It is there whole and on disk, or not at all.

    Raises FileChanged, OSError.
    """
    listed = tuple(_described(name, path) for name, path in sorted(files.items()))
    manifest = Manifest(about, listed)
    partial = target.with_name(f".{target.name}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            with (
                gzip.open(out, "wb", compresslevel=1) as packed,
                tarfile.open(fileobj=packed, mode="w|") as tar,
            ):
                _add(tar, MANIFEST, io.BytesIO(_encoded(manifest)), len(_encoded(manifest)))
                for file in listed:
                    _add_described(tar, file, files[file.name])
            out.flush()
            os.fsync(out.fileno())
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return manifest


def read_archive(source: Path, folder: Path) -> Manifest:
    """Unpack into an empty folder and check everything. Raises ArchiveRefused, OSError."""
    try:
        with tarfile.open(source, mode="r|gz") as tar:
            members = iter(tar)
            manifest = _manifest(tar, next(members, None))
            missing = {file.name: file for file in manifest.files}
            for member in members:
                _unpack(tar, member, missing.pop(member.name, None), folder)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ArchiveRefused(f"it cannot be read as a backup: {error}") from error
    if missing:
        raise ArchiveRefused(f"it ends before {min(missing)}, and lacks {len(missing)} files")
    return manifest


def _described(name: str, path: Path) -> ArchivedFile:
    if not _NAME.fullmatch(name):
        raise ArchiveRefused(f"{name!r:.80} cannot be the name of an archived file")
    try:
        with path.open("rb") as file:
            read = _Read(file)
            while read.read(_CHUNK):
                pass
            mode = os.fstat(file.fileno()).st_mode
    except FileNotFoundError as error:
        raise FileChanged(name) from error
    return ArchivedFile(name, read.size_bytes, read.digest.hexdigest(), bool(mode & 0o004))


def _encoded(manifest: Manifest) -> bytes:
    files = [vars(file) for file in manifest.files]
    return json.dumps({"format": FORMAT, "about": dict(manifest.about), "files": files}).encode()


class _Read:
    """A file that keeps count of what was read of it."""

    def __init__(self, content: IO[bytes]) -> None:
        self.size_bytes = 0
        self.digest = hashlib.sha256()
        self._content = content

    def read(self, size: int) -> bytes:
        """The next bytes."""
        chunk = self._content.read(size)
        self.size_bytes += len(chunk)
        self.digest.update(chunk)
        return chunk


def _add_described(tar: tarfile.TarFile, file: ArchivedFile, path: Path) -> None:
    """Add what the manifest says, or raise FileChanged: an archive that is wrong in itself saves nothing."""
    try:
        with path.open("rb") as content:
            read = _Read(content)
            try:
                _add(tar, file.name, read, file.size_bytes)
            except OSError as error:
                if read.size_bytes < file.size_bytes and not content.read(1):
                    raise FileChanged(file.name) from error
                raise
    except FileNotFoundError as error:
        raise FileChanged(file.name) from error
    if read.digest.hexdigest() != file.sha256:
        raise FileChanged(file.name)


def _add(tar: tarfile.TarFile, name: str, content: "IO[bytes] | _Read", size_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    member.mode = 0o600
    tar.addfile(member, content)  # type: ignore[arg-type]  # all that it does is read


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    content = tar.extractfile(member) if member is not None and member.isreg() else None
    if member is None or content is None or member.name != MANIFEST or member.size > MAX_MANIFEST_BYTES:
        raise ArchiveRefused("it does not begin with a manifest: it is no backup of deltanas")
    try:
        read = json.loads(content.read(MAX_MANIFEST_BYTES))
        if read["format"] != FORMAT:
            raise ArchiveRefused(f"its format is {read['format']!r:.20}; this version reads {FORMAT}")
        return Manifest(dict(read["about"]), tuple(_listed(file) for file in read["files"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveRefused("its manifest is damaged") from error


def _listed(file: Mapping[str, Any]) -> ArchivedFile:
    name, size, digest = str(file["name"]), int(file["size_bytes"]), str(file["sha256"])
    return ArchivedFile(name, size, digest, file["is_public"] is True)


def _unpack(
    tar: tarfile.TarFile, member: tarfile.TarInfo, expected: ArchivedFile | None, folder: Path
) -> None:
    content = tar.extractfile(member) if member.isreg() else None
    if expected is None or content is None or not _NAME.fullmatch(member.name):
        raise ArchiveRefused(f"{member.name!r:.80} in it is no plain file, or not in its manifest")
    if member.size != expected.size_bytes:
        raise ArchiveRefused(f"{member.name} has {member.size} bytes and not {expected.size_bytes}")
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        os.fchmod(out.fileno(), PUBLIC_MODE if expected.is_public else 0o600)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != expected.sha256:
        raise ArchiveRefused(f"{member.name} is damaged: its content is not what was saved")
