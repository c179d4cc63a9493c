"""Under which licence each network stands: the wheel's own, and those of the works that some go back to.

Beside the package's licence LEMUR has files that say of networks "with file names beginning or identical
to …" whose work they are; their lines are kept with each network that they name.
"""

import re
from dataclasses import dataclass

from generator_svc.seeds.lemur.archive import Archive
from generator_svc.seeds.lemur.families import described_name
from generator_svc.seeds.lemur.refusals import MemberRefused, WheelRefused

MAX_LICENCE_BYTES = 64 * 1024
MAX_LICENCE_FILES = 8
MAX_COPYRIGHT_CHARACTERS = 120

_KNOWN = {"MIT License": "MIT", "BSD 3-Clause License": "BSD-3-Clause"}
_FURTHER = re.compile(r"doc/licenses/LICENSE-[A-Za-z0-9.-]{1,60}")
_COPYRIGHT = re.compile(r"^Copyright [^\n]{1,300}$", re.MULTILINE)
_NAMED = re.compile(
    r"file names beginning[^\n]{0,40}? (?:to|with) ([^\n:]{1,2000}):\n(Copyright [^\n]{1,300})"
)


@dataclass(frozen=True)
class _Attribution:
    """Whose work networks are whose names begin like this."""

    beginnings: tuple[str, ...]
    spdx: str
    copyright: str


@dataclass(frozen=True)
class Licences:
    """What a wheel says about rights."""

    spdx: str
    copyright: str
    text: str
    """Every licence file that matters here, one after the other."""
    attributions: tuple[_Attribution, ...]

    def of(self, name: str) -> str:
        """The SPDX expression of one network, and the copyright lines."""
        described = described_name(name).casefold()
        further = [note for note in self.attributions if described.startswith(note.beginnings)]
        identifiers = dict.fromkeys([self.spdx, *(note.spdx for note in further)])
        lines = dict.fromkeys([self.copyright, *(note.copyright for note in further)])
        return "; ".join([" AND ".join(identifiers), *lines])


def read_licences(archive: Archive, information: str) -> Licences:
    """The licences of a wheel whose metadata lie in the folder `information`. Raises WheelRefused."""
    names = set(archive.names)
    main = next(
        (n for n in (f"{information}/licenses/LICENSE", f"{information}/LICENSE") if n in names), None
    )
    text = "" if main is None else _text(archive, main)
    spdx, owner = _identifier(text), _COPYRIGHT.search(text)
    if spdx is None or owner is None:
        raise WheelRefused(
            "licence_unknown", "The wheel has no licence file, or one that is neither MIT nor BSD-3-Clause."
        )
    texts, notes = [text], []
    for name in sorted(filter(_FURTHER.fullmatch, names))[:MAX_LICENCE_FILES]:
        further = _text(archive, name)
        identifier = _identifier(further)
        if identifier is not None:
            texts.append(further)
            notes += _attributions(further, identifier)
    return Licences(spdx, _short(owner.group()), "\n\n".join(texts), tuple(notes))


def _attributions(text: str, spdx: str) -> list[_Attribution]:
    return [
        _Attribution(
            tuple(word.strip().casefold() for word in names.split(",") if word.strip()), spdx, _short(owner)
        )
        for names, owner in _NAMED.findall(text)
    ]


def _text(archive: Archive, name: str) -> str:
    try:
        text = archive.read(name, MAX_LICENCE_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except MemberRefused:
        return ""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")


def _identifier(text: str) -> str | None:
    return _KNOWN.get(text.strip().partition("\n")[0].strip())


def _short(line: str) -> str:
    return line.strip()[:MAX_COPYRIGHT_CHARACTERS]
