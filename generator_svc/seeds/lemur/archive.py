"""A zip file from anywhere, read within bounds: nothing is unpacked to disk, followed, or trusted in size.

The number of members is counted before `zipfile` makes an object of each. Whatever a member declares, no
more is read of it than the caller allows, and no more of all together than MAX_UNPACKED_BYTES.
"""

import struct
import zipfile
import zlib
from typing import IO, Any

from generator_svc.seeds.lemur.refusals import MemberRefused, WheelRefused, quoted

MIB = 1024 * 1024
MAX_MEMBERS = 200_000
MAX_DIRECTORY_BYTES = 64 * MIB
MAX_UNPACKED_BYTES = 1024 * MIB
_ENCRYPTED = 0x1

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
)
"""What zipfile raises for damage and for what it does not support."""

# Layouts of the zip format (APPNOTE.TXT 6.3, sections 4.3.12 to 4.3.16).
_ENTRY = struct.Struct("<4s24x3H12x")
_END = struct.Struct("<4s8xLLH")
_END_64 = struct.Struct("<4s36xQQ")
_LOCATOR = struct.Struct("<4s4xQ4x")


class Archive:
    """An open zip file. Members are known by name; no name stands twice."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises WheelRefused: not_a_zip, too_many_members, duplicate_member."""
        _check_directory(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            raise WheelRefused("not_a_zip", f"The file is no readable zip archive: {error}.") from error
        size = file.seek(0, 2)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            if member.filename in self._members:
                raise WheelRefused(
                    "duplicate_member", f"The archive has two files named {quoted(member.filename)}."
                )
            if member.header_offset >= size:
                raise _not_a_zip()
            self._members[member.filename] = member
        self._left = MAX_UNPACKED_BYTES

    @property
    def names(self) -> list[str]:
        """Every member's name, in the archive's order."""
        return list(self._members)

    def read(self, name: str, limit: int) -> bytes:
        """The content of a member. Raises MemberRefused, and WheelRefused when all together is too much."""
        member = self._members[name]
        if member.file_size > limit:
            raise MemberRefused("too_large", f"{member.file_size} bytes; at most {limit} are allowed")
        if member.flag_bits & _ENCRYPTED or member.compress_type not in {
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        }:
            raise MemberRefused("damaged", "encrypted, or packed in a way that wheels do not use")
        self._left -= member.file_size
        if self._left < 0:
            raise WheelRefused(
                "too_much_content", f"The archive unpacks to more than {MAX_UNPACKED_BYTES // MIB} MiB."
            )
        try:
            with self._zip.open(member) as content:
                data = content.read(limit + 1)
        except _UNREADABLE as error:
            raise MemberRefused("damaged", f"it cannot be unpacked: {error}") from error
        if len(data) != member.file_size:
            raise MemberRefused("damaged", "it is shorter than the archive says")
        return data


def _check_directory(file: IO[bytes]) -> None:
    """Count the members as `zipfile` will find them. Raises WheelRefused."""
    end = file.seek(0, 2) - _END.size
    signature, size, start, comment = _unpacked(_END, file, end)
    # What wheels never have is refused, so that there is one way only to find the directory.
    if signature != b"PK\5\6" or comment:
        raise _not_a_zip()
    locator_signature, end_64 = _unpacked(_LOCATOR, file, end - _LOCATOR.size)
    if locator_signature == b"PK\6\7":
        end -= _LOCATOR.size + _END_64.size
        signature, size, start = _unpacked(_END_64, file, end)
        if signature != b"PK\6\6" or end_64 != end:
            raise _not_a_zip()
    if start + size != end:
        raise _not_a_zip()
    if size > MAX_DIRECTORY_BYTES:
        raise WheelRefused("too_many_members", f"The archive's table of contents claims {size} bytes.")
    file.seek(start)
    _count_entries(file.read(size))


def _count_entries(directory: bytes) -> None:
    at = members = 0
    while at + _ENTRY.size <= len(directory):
        signature, *lengths = _ENTRY.unpack_from(directory, at)
        if signature != b"PK\1\2":
            raise _not_a_zip()
        at += _ENTRY.size + sum(lengths)
        members += 1
        if members > MAX_MEMBERS:
            raise WheelRefused("too_many_members", f"The archive has more than {MAX_MEMBERS} files.")
    if at != len(directory):
        raise _not_a_zip()


def _unpacked(layout: struct.Struct, file: IO[bytes], at: int) -> tuple[Any, ...]:
    if at < 0:
        raise _not_a_zip()
    file.seek(at)
    return layout.unpack(file.read(layout.size))


def _not_a_zip() -> WheelRefused:
    return WheelRefused("not_a_zip", "The file is no zip archive as wheels are.")
