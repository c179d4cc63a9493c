"""Pairs of networks, baseline and target, a moderate edit apart: what a model is asked to bridge by a delta.

Half of them are two real networks of one LEMUR family, read as data; the rest is one real network and
what this project's own mutation proposer makes of it. Line ends are normalised to "\\n" and every source
ends with one: kinds of damage that are about line ends bring their own.

Families are split: those in HELD_OUT_FAMILIES serve `--held-out` alone.
"""

import random
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from contracts.proposals import ProposalRequest, ProposalSlot
from generator_svc.proposers import known_proposers
from generator_svc.seeds import baseline_networks

from .hunks import read_canonical, result_of, split_lines
from .pairs import CHANGED_LINES, Pair, normalised, pair_of

SOURCES = "ab/nn/nn/"
CONTENTS = re.compile(r"ab/nn/stat/train/img-classification_([a-z0-9-]+)_acc_(.+?)/")

HELD_OUT_FAMILIES = frozenset({"rag", "rl"})
"""Two of LEMUR's six large groups of networks: a third of the pairs by weight."""
LARGE_FAMILIES = ("FractalNet", "alt", "ast", "ga", "rag", "rl")

MOST_LINES_MUTATED = 100
"""The proposer follows a network symbolically, which takes seconds for a long one."""
PARTNERS_TRIED = 40
MOST_BASELINES_TRIED = 10


class Lemur:
    """The networks of one half of the families, read from the wheel as they are asked for."""

    def __init__(self, wheel: Path, held_out: bool) -> None:
        self._archive = zipfile.ZipFile(wheel)
        names = self._archive.namelist()
        recorded = {match.group(2) for name in names if (match := CONTENTS.match(name))}
        self.groups: dict[str, list[str]] = defaultdict(list)
        """Names by group of families; only those with a recorded accuracy on an image data set."""
        for name in sorted(recorded & {name.removeprefix(SOURCES).removesuffix(".py") for name in names}):
            first = name.split("-")[0]
            group = first if first in LARGE_FAMILIES else "others"
            if (group in HELD_OUT_FAMILIES) == held_out:
                self.groups[group].append(name)
        self.source = cache(self._read)

    def _read(self, name: str) -> str:
        return normalised(self._archive.read(f"{SOURCES}{name}.py").decode())


def lemur_pairs(lemur: Lemur, count: int, seed: int) -> list[Pair]:
    """About `count` pairs of two LEMUR networks, the same number from each group of families."""
    pairs: list[Pair] = []
    for group, names in sorted(lemur.groups.items()):
        rng = random.Random(f"{seed}:{group}")
        pairs += _pairs_within(lemur, names, -(-count // len(lemur.groups)), rng)
    return pairs


def mutation_pairs(lemur: Lemur, count: int, seed: int, shipped: bool) -> list[Pair]:
    """Up to `count` pairs of a network and its mutation; two thirds of the baselines `shipped` with this
    project, if wanted, the others from LEMUR."""
    rng = random.Random(f"{seed}:mutations")
    own = [(name, one.source) for name, one in sorted(baseline_networks().items())] if shipped else []
    rounds = 3
    baselines = own * rounds
    for names in lemur.groups.values():
        drawn = rng.sample(names, min(len(names), count))
        short = [name for name in drawn if len(split_lines(lemur.source(name))) <= MOST_LINES_MUTATED]
        baselines += [(name, lemur.source(name)) for name in short[: count // len(lemur.groups)]]
    rng.shuffle(baselines)
    pairs = (_mutated(name, normalised(source), seed + at) for at, (name, source) in enumerate(baselines))
    return list(islice(filter(None, pairs), count))


def _pairs_within(lemur: Lemur, names: Sequence[str], count: int, rng: random.Random) -> list[Pair]:
    shuffled = rng.sample(names, len(names))
    related = defaultdict(list)
    for name in names:
        related[name.split("-")[0]].append(name)
    found: list[Pair] = []
    for name in shuffled[: MOST_BASELINES_TRIED * count]:
        if len(found) == count:
            break
        partners = related[name.split("-")[0]]
        for other in rng.sample(partners, min(PARTNERS_TRIED, len(partners))):
            baseline, target = lemur.source(name), lemur.source(other)
            if _are_near(baseline, target) and (pair := pair_of(f"{name} → {other}", baseline, target)):
                found.append(pair)
                break
    return found


def _are_near(baseline: str, target: str) -> bool:
    """A quick look before difflib's: how many lines cannot be common."""
    old, new = Counter(split_lines(baseline)), Counter(split_lines(target))
    apart = sum((old - new).values()) + sum((new - old).values())
    return 0 < apart <= CHANGED_LINES.stop


def _mutated(name: str, baseline: str, seed: int) -> Pair | None:
    slot = ProposalSlot(slot=0, seed=seed, baseline_source=baseline, baseline_id=name)
    request = ProposalRequest("bench", 1, "mutation", "fashion-mnist", (slot,))
    (proposal,) = known_proposers()["mutation"].propose(request)
    if proposal.failure or not proposal.answer:
        return None
    try:
        target = result_of(baseline, read_canonical(proposal.answer))
    except ValueError:
        return None
    return pair_of(f"{name} → mutation {seed}", baseline, target)
