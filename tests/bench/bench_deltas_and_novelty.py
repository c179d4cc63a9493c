"""What it costs to apply a delta and to screen an architecture, against the plain ways of doing it."""

import subprocess
import tempfile
from pathlib import Path

from timing import compare

from contracts.jobs import ScreeningRequest
from contracts.proposals import ProposalRequest, ProposalSlot
from filter_svc.fingerprints import Fingerprint, fingerprint, jaccard
from filter_svc.index import NoveltyIndex
from filter_svc.screening import screen
from generator_svc.deltas import apply_delta
from generator_svc.proposers import known_proposers
from generator_svc.seeds import baseline_networks

ARCHITECTURES = 400


def proposals(count: int) -> list[tuple[str, str]]:
    """(baseline source, delta) of that many mutations, over all baselines."""
    baselines = list(baseline_networks().values())
    found = []
    for seed in range(count):
        source = baselines[seed % len(baselines)].source
        slot = ProposalSlot(slot=0, seed=seed, baseline_source=source, baseline_id="bench")
        request = ProposalRequest("bench", 1, "mutation", "fashion-mnist", (slot,))
        found.append((source, next(iter(known_proposers()["mutation"].propose(request))).answer))
    return found


def gnu_patch(folder: Path, source: str, delta: str) -> None:
    """Apply with GNU patch, files and process included."""
    (folder / "net.py").write_text(source)
    subprocess.run(["patch", "-s", "net.py"], cwd=folder, input=delta, text=True, check=True)


def exhaustive(source: str, others: list[Fingerprint]) -> float:
    """The highest Jaccard similarity, by comparing with all."""
    shingles = fingerprint(source).shingles
    return max(jaccard(shingles, other.shingles) for other in others)


def main() -> None:
    """Print both comparisons."""
    pairs = proposals(ARCHITECTURES)
    source, delta = pairs[0]
    sources = [apply_delta(*pair).source or "" for pair in pairs]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare(
            f"apply one delta to a source of {len(source.splitlines())} lines",
            {
                "GNU patch, as a process": lambda: gnu_patch(folder, source, delta),
                "apply_delta, gates included": lambda: apply_delta(source, delta),
            },
            rounds=50,
        )
        index = NoveltyIndex(folder / "index.db")
        prints = [fingerprint(text) for text in sources]
        for number, text in enumerate(sources):
            index.admit("search:bench", f"p{number}", text, "")
        request = ScreeningRequest("search:bench", "new", sources[7])
        compare(
            f"screen one architecture against {ARCHITECTURES}",
            {
                "exact Jaccard with every one": lambda: exhaustive(sources[7], prints),
                "filter_svc": lambda: screen(index, request),
            },
            rounds=30,
        )


if __name__ == "__main__":
    main()
