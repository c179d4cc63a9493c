"""What a trace costs, how many networks can be traced, and which rewritings each layer of the filter sees.

.venv/bin/python tests/bench/bench_structure.py                                  # the shipped networks
.venv/bin/python tests/bench/bench_structure.py --wheel WHEEL --networks 100     # and a draw of LEMUR's
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
# Before it, the packages: the folders of unit tests bear their names.
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from sample_attempts import make_attempt

from contracts.jobs import AttemptOutcome, BaselineNetwork
from contracts.names import AttemptKind
from filter_svc.fingerprints import fingerprint, jaccard
from filter_svc.structure import TooSymmetric, structure_key
from generator_svc.seeds import baseline_networks
from generator_svc.seeds.lemur import read_wheel
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset
from sandbox_runner.python_environment import environment_digest
from sandbox_runner.sandboxes.choice import built_in, probe_all, strongest
from sandbox_runner.specimens.judgement import outcome_words
from sandbox_runner.starts import Starts

SEED = 11
NEAR = 0.90
"""From here on the lexical layer calls a source a copy."""
HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
"""
PLANTED = {
    "the network": """
        self.layers = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, out_shape[0]),
        )
    def forward(self, x):
        return self.layers(x)
""",
    "other names": """
        self.body = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, out_shape[0]),
        )
    def forward(self, images):
        return self.body(images)
""",
    "explicit calls, __init__ reordered": """
        self.head = nn.Linear(32, out_shape[0])
        self.norm2, self.norm1 = nn.BatchNorm2d(32), nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv1 = nn.Conv2d(in_shape[1], 16, 3, padding=1)
    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = torch.relu_(self.norm2(self.conv2(x)))
        return self.head(x.mean((2, 3), keepdim=True).flatten(1))
""",
    "a loop over widths": """
        parts, before = [], in_shape[1]
        for width in (16, 32):
            parts += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            before = width
        self.parts = nn.ModuleList(parts)
        self.head = nn.Linear(before, out_shape[0])
    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return self.head(F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0])
""",
    "a layer that nobody uses": """
        self.spare = nn.Conv2d(in_shape[1], 64, 5)
        self.layers = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Identity(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, out_shape[0]),
        )
    def forward(self, x):
        self.spare(x)
        return self.layers(x)
""",
    "another width (no copy)": """
        self.layers = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 33, 3, padding=1), nn.BatchNorm2d(33), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(33, out_shape[0]),
        )
    def forward(self, x):
        return self.layers(x)
""",
}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheel", type=Path, help="nn_dataset-….whl")
    parser.add_argument("--networks", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tracer = _Tracer(Path(folder))
        try:
            _costs(tracer)
            _planted(tracer)
            if arguments.wheel is not None:
                _drawn(tracer, arguments.wheel, arguments.networks)
        finally:
            tracer.close()


class _Tracer:
    """Traces sources in real sandboxes, on a data set of noise."""

    def __init__(self, home: Path) -> None:
        home.chmod(0o755)
        numbers = np.random.default_rng(SEED)

        def part(count: int) -> ImageSet:
            pixels = numbers.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
            return ImageSet.from_arrays(pixels, np.arange(count) % 10)

        (home / "datasets").mkdir()
        raw = RawDataset((3, 32, 32), tuple("abcdefghij"), part(20), part(20), "a bench")
        write_pack(home / "datasets" / "noise", "noise", raw)
        self._backends = probe_all(built_in(home))
        self._starts = Starts(strongest(self._backends), 1)
        self._bench = Bench(self._starts, Library(home), environment_digest())

    def run(self, source: str, hyperparameters: dict[str, Any]) -> AttemptOutcome:
        """One trace."""
        spec = make_attempt(
            "at_bench",
            source=source,
            dataset="noise",
            kind=AttemptKind.TRACE,
            hyperparameters=hyperparameters,
        )
        return run_attempt(spec, self._bench, Event(), lambda _: None)

    def close(self) -> None:
        """Give everything back."""
        self._starts.close()
        for one in self._backends:
            one.backend.close()


def _costs(tracer: _Tracer) -> None:
    costs = []
    for place, network in enumerate(baseline_networks().values()):
        begin = time.perf_counter()
        told = tracer.run(network.source, network.hyperparameters).trace
        seconds = time.perf_counter() - begin
        graph = told and told.claimed_graph
        costs.append(seconds)
        start = "first" if place == 0 else ""
        print(
            f"{network.name:24}{'graph' if graph else told and told.not_traceable:8}{seconds:7.2f} s {start}"
        )
    print(f"load {os.getloadavg()[0]:.1f}; first {costs[0]:.2f} s, median of the others "
          f"{statistics.median(costs[1:]):.2f} s\n")  # fmt: skip


def _planted(tracer: _Tracer) -> None:
    made = {}
    for name, rest in PLANTED.items():
        source = HEAD + rest.removeprefix("\n")
        outcome = tracer.run(source, {})
        if outcome.trace is None or outcome.trace.claimed_graph is None:
            raise SystemExit(f"{name}: {outcome_words(outcome)}")
        made[name] = (fingerprint(source), structure_key(outcome.trace.claimed_graph))
    print(f"{'against the network':36}{'exact':8}{'Jaccard':9}structure")
    first, key = made["the network"]
    for name, (other, its) in list(made.items())[1:]:
        near = jaccard(first.shingles, other.shingles)
        print(f"{name:36}{_said(first.digest == other.digest):8}{near:<9.2f}{_said(key == its)}")
    print()


def _drawn(tracer: _Tracer, wheel: Path, count: int) -> None:
    networks = [line.network for line in read_wheel(wheel) if line.network is not None]
    traced: list[tuple[BaselineNetwork, bytes]] = []
    ends: Counter[str] = Counter()
    for network in random.Random(SEED).sample(networks, count):
        given = network.hyperparameters_on("cifar-10") | {"transform": "norm"}
        outcome = tracer.run(network.source, given)
        if outcome.trace is None or outcome.trace.claimed_graph is None:
            ends[outcome_words(outcome) if outcome.trace is None else str(outcome.trace.not_traceable)] += 1
            continue
        try:
            traced.append((network, structure_key(outcome.trace.claimed_graph)))
            ends["traced"] += 1
        except TooSymmetric:
            ends["undecided"] += 1
    for end, times in ends.most_common():
        print(f"{times:4} {end}")
    prints = [fingerprint(network.source) for network, _ in traced]
    pairs = Counter[str]()
    for place, (_, key) in enumerate(traced):
        for earlier in range(place):
            near = jaccard(prints[place].shingles, prints[earlier].shingles) >= NEAR
            if key == traced[earlier][1] or near:
                pairs[f"same graph: {_said(key == traced[earlier][1])}, near text: {_said(near)}"] += 1
    print(dict(pairs))


def _said(answer: bool) -> str:
    return "yes" if answer else "no"


if __name__ == "__main__":
    main()
