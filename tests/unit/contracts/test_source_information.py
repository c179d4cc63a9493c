"""How much a source may know: bounded wherever it is hidden, and far above what architectures need."""

import ast
import base64
import random
from pathlib import Path

import pytest

from contracts.failures import FailureReason
from contracts.names import MAX_SOURCE_BYTES, MAX_SOURCE_INFORMATION_BYTES
from contracts.source_rules import SourceRejected, check_source

NETWORKS = Path(__file__).parents[3] / "generator_svc/seeds/networks"
NET = "import torch\nclass Net(torch.nn.Module):\n    pass\n"
NOISE = base64.b32encode(random.Random(4).randbytes(12_000)).decode().rstrip("=")
PIECES = [NOISE[start : start + 60] for start in range(0, len(NOISE), 60)]

HIDDEN = {
    "in literals": "".join(f'remember("{piece}")\n' for piece in PIECES),
    "in comments": "".join(f"# {piece}\n" for piece in PIECES),
    "in names": "".join(f"x_{piece} = 1\n" for piece in PIECES),
    "in a docstring": f'"""{chr(10).join(PIECES[:60])}"""\n' + "".join(f'f("{p}")\n' for p in PIECES[60:]),
    "in numbers": "".join(f"f({int(piece[:40], 36)})\n" for piece in PIECES * 2),
    "in the order of names": "".join(
        f"from {random.Random(i).choice('ab')} import x{i}\n" for i in range(300)
    )
    + "".join(f"{a}.{b}\n" for a, b in zip(PIECES, reversed(PIECES), strict=True)),
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_table_is_refused_wherever_it_hides(hidden: str) -> None:
    assert len(hidden) + len(NET) < MAX_SOURCE_BYTES
    with pytest.raises(SourceRejected) as refused:
        check_source(hidden + NET)
    assert refused.value.reason is FailureReason.POLICY_VIOLATION
    assert str(MAX_SOURCE_INFORMATION_BYTES) in refused.value.message


def test_a_long_source_of_an_ordinary_kind_is_let_in() -> None:
    layers = "".join(
        f"        self.block{i} = nn.Sequential(nn.Conv2d({8 * i}, {8 * i + 8}, 3, padding=1), "
        f"nn.BatchNorm2d({8 * i + 8}), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout({i / 1000}))\n"
        for i in range(300)
    )
    source = f"{NET.replace('pass', 'def __init__(self, a, b):')}        super().__init__()\n{layers}"
    assert 40_000 < len(source) < MAX_SOURCE_BYTES
    assert check_source(source).source == source


def test_a_number_that_python_cannot_print_is_a_literal_too_large() -> None:
    with pytest.raises(SourceRejected) as refused:
        check_source(f"{NET}x = 0x{'f' * 3_600}\n")
    assert refused.value.rule == "literal_too_large"
    ast.unparse(check_source(f"{NET}x = 0x{'f' * 3_400}\n").tree)


@pytest.mark.parametrize("network", sorted(NETWORKS.glob("*.py")), ids=lambda path: path.stem)
def test_the_baselines_leave_room_for_growth(network: Path) -> None:
    source = network.read_text()
    doubled = source + "\n".join(f"# {piece}" for piece in PIECES[:60])  # 3.6 KB that do not compress
    assert check_source(doubled)
