"""What it costs to apply a delta, against the plain way of doing it."""

import subprocess
import tempfile
from pathlib import Path

from timing import compare

from contracts.proposals import ProposalRequest, ProposalSlot
from generator_svc.deltas import apply_delta
from generator_svc.proposers import known_proposers
from generator_svc.seeds import baseline_networks


def proposal(seed: int) -> tuple[str, str]:
    """Source of the first baseline, and the delta of a mutation of it."""
    source = next(iter(baseline_networks().values())).source
    slot = ProposalSlot(slot=0, seed=seed, baseline_source=source, baseline_id="bench")
    request = ProposalRequest("bench", 1, "mutation", "fashion-mnist", (slot,))
    return source, next(iter(known_proposers()["mutation"].propose(request))).answer


def gnu_patch(folder: Path, source: str, delta: str) -> None:
    """Apply with GNU patch, files and process included."""
    (folder / "net.py").write_text(source)
    subprocess.run(["patch", "-s", "net.py"], cwd=folder, input=delta, text=True, check=True)


def main() -> None:
    """Print the comparison."""
    source, delta = proposal(0)
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


if __name__ == "__main__":
    main()
