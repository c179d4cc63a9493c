"""Where a search allows edits, deltas edit; elsewhere they are refused, wherever they claim to be."""

import pytest

from contracts.proposals import EditPermissions
from generator_svc.deltas import apply_delta, canonical_delta, forbidden_change

BASELINE = """import torch
from torch import nn

WIDTH = 16


class Block(nn.Module):
    def forward(self, x):
        return torch.relu(x)


class Net(nn.Module):
    depth = 2

    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(in_shape[1], out_shape[0])

    def forward(self, x):
        return self.head(self.block(x).mean((2, 3)))
"""

CHANGES = {
    "imports": ("import torch\n", "import torch\nimport math\n"),
    "module": ("WIDTH = 16", "WIDTH = 32"),
    "Block.forward": ("torch.relu(x)", "torch.tanh(x)"),
    "Net": ("depth = 2", "depth = 3"),
    "Net.forward": ("mean((2, 3))", "amax((2, 3))"),
}


def changed(*regions):
    result = BASELINE
    for region in regions:
        result = result.replace(*CHANGES[region])
    return result


@pytest.mark.parametrize("region", CHANGES)
def test_a_change_where_none_is_allowed_is_refused_with_region_line_and_what_is_allowed(region):
    delta = canonical_delta(BASELINE, changed(region))
    refused = apply_delta(BASELINE, delta, EditPermissions(never=(region,)))
    assert (refused.status, refused.reason) == ("refused", "forbidden_region")
    assert f"`{region}`" in refused.message
    assert "line " in refused.message
    assert "change only" in refused.message
    assert refused.source is None
    assert apply_delta(BASELINE, delta, EditPermissions(only=(region,))).status == "applied"


def test_methods_of_the_network_may_be_named_without_their_class():
    delta = canonical_delta(BASELINE, changed("Net.forward"))
    assert apply_delta(BASELINE, delta, EditPermissions(only=("forward",))).status == "applied"
    assert apply_delta(BASELINE, delta, EditPermissions(never=("forward",))).reason == "forbidden_region"


def test_what_must_never_change_stays_even_where_it_is_also_allowed():
    edits = EditPermissions(only=("Net",), never=("Net.forward",))
    assert forbidden_change(BASELINE, changed("Net"), edits) is None
    assert forbidden_change(BASELINE, changed("Net.forward"), edits).region == "Net.forward"


def test_one_forbidden_change_among_allowed_ones_refuses_all():
    delta = canonical_delta(BASELINE, changed("Net", "imports"))
    assert apply_delta(BASELINE, delta, EditPermissions(only=("Net",))).reason == "forbidden_region"


def test_removing_adding_and_renaming_a_method_changes_it():
    keep = EditPermissions(never=("Block",))
    without = BASELINE.replace("    def forward(self, x):\n        return torch.relu(x)", "    pass")
    renamed = BASELINE.replace(
        "def forward(self, x):\n        return torch", "def go(self, x):\n        return torch"
    )
    more = BASELINE.replace("torch.relu(x)\n", "torch.relu(x)\n\n    def more(self):\n        return 1\n")
    assert (
        "removes `Block.forward` (line 8 of the baseline)"
        in forbidden_change(BASELINE, without, EditPermissions(never=("Block.forward",))).message
    )
    assert "removes `Block.forward`" in forbidden_change(BASELINE, renamed, keep).message
    only_old = EditPermissions(only=("Block.forward",))
    assert "adds `Block.go` (line 8 of the result)" in forbidden_change(BASELINE, renamed, only_old).message
    assert "adds `Block.more` (line 11 of the result)" in forbidden_change(BASELINE, more, keep).message


def test_comments_and_layout_are_free_everywhere():
    result = changed("Net").replace(
        "        return torch.relu(x)", "        # as before\n        return torch.relu( x )"
    )
    assert forbidden_change(BASELINE, result, EditPermissions(only=("Net",), never=("Block",))) is None


def test_nothing_is_forbidden_without_permissions():
    assert forbidden_change(BASELINE, changed(*CHANGES), EditPermissions()) is None


def test_the_line_is_that_of_the_changed_statement():
    result = changed("module").replace("WIDTH = 32", "WIDTH = 16\nDEPTH = 4")
    change = forbidden_change(BASELINE, result, EditPermissions(never=("module",)))
    assert (change.region, change.line) == ("module", 5)
    assert "line 5 of the result" in change.message
