"""Makes text of a guest harmless: bounded, valid Unicode, nothing in it that a terminal would obey."""

import re
import unicodedata

_SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escaped(text: str) -> str:
    """Control, format (such as text direction) and unassigned characters become \\x or \\u escapes."""
    return _SUSPECT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def quoted(text: str, characters: int) -> str:
    """One bounded quotation, for a failure's message or location."""
    safe = escaped(text[:characters])
    return safe if len(safe) <= characters else safe[: characters - 1] + "…"


class BoundedLog:
    """Keeps the first and the last `kept_bytes / 2` of an output and counts the rest."""

    def __init__(self, kept_bytes: int = 64 * 1024) -> None:
        self._half = kept_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def append(self, chunk: bytes) -> None:
        """Take in the next bytes of the output."""
        self.total_bytes += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[max(room, 0) :]
        del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept, as harmless text; a line in the middle says how much was left out."""
        omitted = self.total_bytes - len(self._head) - len(self._tail)
        if omitted == 0:
            return escaped((self._head + self._tail).decode("utf-8", "replace"))
        head = escaped(self._head.decode("utf-8", "replace"))
        tail = escaped(self._tail.decode("utf-8", "replace"))
        return f"{head}\n… {omitted} bytes left out …\n{tail}"
