"""LEMUR's sources as shingles, and any number of others in clusters about them.

One made from a source has 1 to 64 edits of its canonical text, few more often than many: another number, a
line gone, a line twice, a line of a network of the same family. So it is what proposals are: near to one
that is there, at every distance, and to what others have made of it.
"""

import random
import re
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filter_svc.canonical import NotScreenable, canonical_source
from filter_svc.fingerprints import Hashes, shingle_hashes, tokens_of

SOURCE = re.compile(r"ab/nn/nn/([A-Za-z0-9][A-Za-z0-9._-]*)\.py")
NUMBER = re.compile(r"\b\d+\b")
MOST_EDITS = 6.0
"""As a power of two."""


@dataclass
class Corpus:
    """Sources, in an order drawn from a fixed seed, and what they became."""

    sources: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    canonical: list[str] = field(default_factory=list)
    shingles: list[Hashes] = field(default_factory=list)
    refused: int = 0
    canonical_seconds: float = 0.0
    """CPU seconds of canonicalisation, and of all that follows until there are shingles."""
    shingle_seconds: float = 0.0

    def add(self, name: str, source: str) -> None:
        """Canonicalise a source and cut it into shingles, both timed."""
        begin = time.thread_time()
        try:
            text = canonical_source(source)
        except NotScreenable:
            self.refused += 1
            return
        middle = time.thread_time()
        self.shingles.append(shingle_hashes(tokens_of(text)))
        self.canonical_seconds += middle - begin
        self.shingle_seconds += time.thread_time() - middle
        self.sources.append(source)
        self.families.append(name.split("-")[0])
        self.canonical.append(text)


def lemur(wheel: Path, most: int | None) -> Corpus:
    """All networks of the wheel, read as data, or so many drawn of them."""
    archive = zipfile.ZipFile(wheel)
    names = sorted(name for name in archive.namelist() if SOURCE.fullmatch(name) and "__init__" not in name)
    random.Random(0).shuffle(names)
    corpus = Corpus()
    for name in names[:most]:
        corpus.add(name.removeprefix("ab/nn/nn/"), archive.read(name).decode())
    return corpus


def made_from(corpus: Corpus, count: int, seed: int) -> Iterator[Hashes]:
    """Shingles of so many others."""
    rng = random.Random(seed)
    by_family = defaultdict(list)
    for place, family in enumerate(corpus.families):
        by_family[family].append(place)
    lines = [text.split("\n") for text in corpus.canonical]
    for _ in range(count):
        place = rng.randrange(len(lines))
        relatives = by_family[corpus.families[place]]
        yield shingle_hashes(tokens_of("\n".join(edited(lines[place], lines, relatives, rng))))


def edited(own: list[str], lines: list[list[str]], relatives: list[int], rng: random.Random) -> list[str]:
    """One text with a few edits."""
    text = list(own)
    for _ in range(round(2 ** rng.uniform(0, MOST_EDITS))):
        at, kind = rng.randrange(len(text)), rng.random()
        if kind < 0.5:
            text[at] = NUMBER.sub(str(rng.randrange(1, 512)), text[at], count=1)
        elif kind < 0.65 and len(text) > 5:
            del text[at]
        elif kind < 0.8:
            text.insert(at, rng.choice(text))
        else:
            text.insert(at, rng.choice(lines[rng.choice(relatives)]))
    return text
