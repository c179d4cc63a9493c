"""An entry as one string of bytes, for stores that have no columns."""

import struct

from filter_svc.stores.port import Entry

_LENGTHS = struct.Struct("<HHh")
"""Of the id and the label in UTF-8, and of the structure; -1 where there is none. The outline is the rest."""


def packed(entry: Entry) -> bytes:
    """Raises struct.error where a part is longer than 32 KiB."""
    proposal_id, label = entry.proposal_id.encode(), entry.label.encode()
    structure = -1 if entry.structure is None else len(entry.structure)
    lengths = _LENGTHS.pack(len(proposal_id), len(label), structure)
    return b"".join((lengths, proposal_id, label, entry.structure or b"", entry.outline))


def unpacked(content: bytes) -> Entry:
    """Raises ValueError for what `packed` has not made."""
    if len(content) < _LENGTHS.size:
        raise ValueError("an entry is cut off")
    parts: list[bytes] = []
    at = _LENGTHS.size
    lengths = _LENGTHS.unpack_from(content)
    for length in lengths:
        parts.append(content[at : at + max(0, length)])
        at += max(0, length)
    if at > len(content):
        raise ValueError("an entry is cut off")
    return Entry(parts[0].decode(), parts[1].decode(), None if lengths[2] < 0 else parts[2], content[at:])
