"""Sources that attack whoever reads them."""

import time

import numpy as np
import pytest
from api_target import Target, refused
from live_server import DATASET

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

NET = "import torch\nclass Net(torch.nn.Module):\n    pass\n"
SOURCES: dict[str, tuple[str, str]] = {
    "sixty thousand minus signs": (f"x = {'-' * 60_000}1\n{NET}", "syntax_error policy_violation"),
    "brackets without end": (f"x = {'[' * 30_000}", "syntax_error"),
    "nested calls": (f"x = {'f(' * 5000}{')' * 5000}\n{NET}", "syntax_error policy_violation"),
    "nested lambdas": (f"x = {'lambda: ' * 5000}0\n{NET}", "syntax_error policy_violation"),
    "attributes without end": (f"x = a{'.a' * 20_000}\n{NET}", "syntax_error policy_violation"),
    "blocks within blocks": (
        "".join(f"{' ' * i}if 1:\n" for i in range(120)) + " " * 120 + "pass\n" + NET,
        "syntax_error policy_violation",
    ),
    "a number of sixty thousand digits": (f"x = {'9' * 60_000}\n{NET}", "syntax_error policy_violation"),
    "a number in hexadecimal": (f"x = 0x{'f' * 60_000}\n{NET}", "policy_violation"),
    "a NUL": (f"{NET}# \0", "syntax_error"),
    "a byte order mark within": (f"x = '\ufeff'\n\ufeff{NET}", "syntax_error"),
    "text that runs backwards": (f"x = 1 \u202e # {NET}", "syntax_error"),
    "an invisible name": (f"x\u200b = 1\n{NET}", "syntax_error"),
    "letters that pass for others": (NET.replace("Net", "Nеt"), "contract_violation"),
    "noise of its full size": (
        NET + "".join(f"# {np.random.default_rng(i).bytes(24).hex()}\n" for i in range(1000)),
        "policy_violation",
    ),
}


@pytest.mark.parametrize(("source", "codes"), SOURCES.values(), ids=SOURCES.keys())
def test_a_source_that_attacks_its_readers_is_refused_within_seconds(
    target: Target, source: str, codes: str
) -> None:
    before = target.stored()
    for path, more, name in (
        ("/v1/evaluations", {"dataset": DATASET, "source": source}, "source"),
        ("/v1/novelty:check", {"source": source}, "source"),
        (
            "/v1/deltas:apply",
            {"baseline_source": source, "delta": "@@ -1 +1 @@\n-a\n+b\n"},
            "baseline_source",
        ),
    ):
        began = time.monotonic()
        answer = target.http.post(path, json=more)
        problem = refused(target, answer, 422, answer.json().get("code", ""), name)
        assert problem["code"] in codes.split(), problem
        assert time.monotonic() - began < 20
    assert target.stored() == before
