"""The symbolic run: what it proves, what it refutes, and that hostile sources end it soon."""

import time

import pytest
from mutation_sources import BLOCKS, HARD_CODED_CLASSES, LEMUR, LITERAL_WIDTHS, RESIDUAL_LITERALS, UNDECIDED

from contracts.source_rules import check_source
from generator_svc.seeds import baseline_networks
from generator_svc.shapes import Verdict, trace_source

PROBE = (8, 3, 32, 32)


def verdict(source, classes=10):
    check_source(source)
    return trace_source(source, PROBE, classes).verdict


def network(layers, forward="self.body(x)", names=""):
    """A Net around `layers`; 3 × 32 × 32 in, 10 classes out."""
    return (
        f"import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n{names}\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, in_shape, out_shape):\n"
        "        super().__init__()\n"
        f"        self.body = {layers}\n"
        "    def forward(self, x):\n"
        f"        return {forward}\n"
    )


@pytest.mark.parametrize("source", [LITERAL_WIDTHS, RESIDUAL_LITERALS, BLOCKS, LEMUR])
def test_a_consistent_network_is_proven(source):
    assert verdict(source) == Verdict.PROVEN


@pytest.mark.parametrize("name", sorted(baseline_networks()))
def test_every_shipped_baseline_is_proven(name):
    assert verdict(baseline_networks()[name].source) == Verdict.PROVEN


def test_a_network_of_unknown_parts_stays_undecided():
    assert verdict(UNDECIDED) == Verdict.UNDECIDED


def test_the_wrong_number_of_classes_is_refuted():
    assert verdict(HARD_CODED_CLASSES, classes=100) == Verdict.INCONSISTENT


@pytest.mark.parametrize(
    "body",
    [
        "nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.LazyLinear(10))",
        "nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten())",
        "nn.Conv2d(3, 10, 3, groups=2)",
        "nn.GroupNorm(3, 10)",
        "nn.MultiheadAttention(10, 3)",
        "nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 10, 17))",
        "nn.MaxPool2d(2, padding=2)",
        "nn.Sequential(nn.Flatten(), nn.Linear(3072, 10), nn.BatchNorm2d(10))",
        "nn.Dropout(1.5)",
        "nn.ReLU(slope=1)",
        "nn.Conv2d(3, 0, 1)",
    ],
)
def test_what_torch_refuses_is_refuted(body):
    assert verdict(network(body)) == Verdict.INCONSISTENT


@pytest.mark.parametrize(
    ("layers", "forward"),
    [
        ("nn.Linear(3 * 32 * 32, 10)", "self.body(x.view(x.size(0), -1))"),
        ("nn.Linear(3 * 32 * 32, 10)", "self.body(torch.flatten(x, 1))"),
        ("nn.Linear(6, 10)", "self.body(torch.cat([x.mean((2, 3)), x.amax(dim=(2, 3))], 1))"),
        ("nn.Linear(3, 10)", "self.body(x.flatten(2).transpose(1, 2)).mean(1)"),
        ("nn.Linear(3, 10)", "self.body(x.permute(0, 2, 3, 1)).mean(dim=(1, 2))"),
        (
            "nn.Conv2d(3, 10, 3, stride=2, padding='valid')",
            "F.adaptive_avg_pool2d(self.body(x), 1).flatten(1)",
        ),
        ("nn.Linear(1, 10)", "self.body(x[:, 0].mean((-1, -2), keepdim=True).squeeze(2))"),
        ("nn.Linear(3, 10)", "self.body(x.chunk(2, dim=2)[0].mean((2, 3)))"),
        ("nn.Linear(3, 10)", "self.body((x.flatten(2) @ x.flatten(2).transpose(1, 2)).mean(1))"),
        ("nn.Linear(3, 10)", "self.body(F.interpolate(x, scale_factor=2).mean((2, 3)))"),
        ("nn.ModuleList([nn.Conv2d(3, 10, 1), nn.Identity()])", "self.body[1](self.body[0](x)).mean((2, 3))"),
        ("nn.Linear(3, int(math.sqrt(100)))", "self.body(x.mean((2, 3)))"),
        ("nn.ModuleDict({'a': nn.Linear(3, 10)})", "self.body['a'](x.mean((2, 3)))"),
        ("nn.Linear(3, sum(w for w in [4, 6]))", "self.body(x.mean((2, 3)) if x.dim() == 4 else x)"),
    ],
)
def test_the_ways_networks_are_written_are_followed(layers, forward):
    assert verdict(network(layers, forward)) == Verdict.PROVEN


def test_a_size_that_does_not_fit_names_the_literals_on_both_sides():
    broken = LITERAL_WIDTHS.replace("BatchNorm2d(16)", "BatchNorm2d(24)")
    trace = trace_source(broken, PROBE, 10)
    assert (int(trace.expected), int(trace.actual)) == (24, 16)
    lines = broken.splitlines()
    texts = [
        lines[line - 1][start:end] for line, start, _, end in (*trace.expected.origins, *trace.actual.origins)
    ]
    assert texts == ["24", "16"]


def test_another_number_can_be_read_in_place_of_a_literal():
    span = trace_source(RESIDUAL_LITERALS, PROBE, 10).journal.literals
    place = next(key for key, value in span.items() if value == 16)
    assert trace_source(RESIDUAL_LITERALS, PROBE, 10, {place: 24}).verdict == Verdict.INCONSISTENT


@pytest.mark.parametrize(
    "hostile",
    [
        "x = [1]\nwhile True:\n    x = x + x\n",
        "while True:\n    pass\n",
        "x = 2\nfor i in range(10**9):\n    x = x ** x\n",
        "x = 10 ** 10 ** 10 ** 10\n",
        "x = 'a' * 10 ** 12\n",
        "def f(n):\n    return f(n) + f(n)\nx = f(1)\n",
        "x = [[i for i in range(1000)] for j in range(1000) for k in range(1000)]\n",
        "x = 1 << 10 ** 12\n",
        "import torch\nt = torch.zeros(1)\nfor i in range(500):\n    t = t[None]\n",
        "class A:\n    x = property(lambda self: self.x)\ny = A().x\n",
        "x = sorted(key=lambda v: v)\nnn = {}['a']['b']\n",
        "import torch.nn as nn\ns = nn.Sequential()\ns.append(s)\ny = s(1)\n",
        "x = __import__('os').system('true')\n",
        "f'{1:{2}}'\nx = lambda *a, **k: x(*a, **k)\nx()\n",
    ],
)
def test_a_hostile_source_ends_undecided_and_soon(hostile):
    source = hostile + network("nn.Linear(3, 10)", "self.body(x.mean((2, 3)))")
    started = time.process_time()
    verdict(source)
    assert time.process_time() - started < 3


def test_nothing_of_the_source_is_executed(tmp_path):
    witness = tmp_path / "witness"
    source = f"open({str(witness)!r}, 'w').write('x')\n" + network(
        "nn.Linear(3, 10)", "self.body(x.mean((2, 3)))"
    )
    assert verdict(source) == Verdict.PROVEN
    assert not witness.exists()


def test_a_slow_loop_is_given_up_after_a_bounded_number_of_steps():
    source = "x = 0\nfor i in range(1000):\n    for j in range(1000):\n        x = x + 1\n" + LITERAL_WIDTHS
    trace = trace_source(source, PROBE, 10)
    assert trace.verdict == Verdict.UNDECIDED
    assert trace.steps <= 100_001
