"""Which uses of a forbidden operator are found in a source, and what is none."""

import pytest

from contracts.deployment import OPERATOR_NAME, forbidden_use
from contracts.source_rules import check_source

NETWORK = """import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.functional import softmax as probabilities


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.head = nn.Linear(3, out_shape[0])
        {made}

    def forward(self, x):
        return {returned}
"""


def use_in(forbidden, made="pass", returned="self.head(x)", top="", network=NETWORK):
    source = top + network.format(made=made, returned=returned)
    return forbidden_use(check_source(source).tree, (forbidden,))


@pytest.mark.parametrize(
    ("forbidden", "written"),
    [
        ("softmax", "F.softmax(x, -1)"),
        ("softmax", "torch.nn.functional.softmax(x, -1)"),
        ("softmax", "x.softmax(-1)"),
        ("softmax", "self.head(x).softmax(-1)"),
        ("softmax", "self.weights.softmax(-1)"),
        ("softmax", "probabilities(x, -1)"),
        ("softmax", "getattr(F, 'softmax')(x, -1)"),
        ("softmax", "F.__dict__['softmax'](x, -1)"),
        ("softmax", "vars(F)['softmax'](x, -1)"),
        ("softmax", "(lambda f: f(x, -1))(F.softmax)"),
        ("Softmax", "nn.Softmax(-1)(x)"),
        ("Softmax", "{'end': nn.Softmax}['end'](-1)(x)"),
        ("matmul", "x @ x.T"),
    ],
)
def test_a_use_is_found_however_it_is_written(forbidden, written):
    use = use_in(forbidden, returned=written)
    assert (use.name, use.line) == (forbidden, 14)


@pytest.mark.parametrize(
    "made", ["self.end = nn.Softmax(-1)", "self.kind = nn.Softmax", "E = nn.Softmax; self.e = E()"]
)
def test_modules_are_found_where_they_are_made_or_handed_on(made):
    assert use_in("Softmax", made=made).line == 11


def test_a_base_class_and_a_star_import_are_found():
    network = "from torch.nn import *\n\n\nclass Net(Conv3d):\n    {made}\n    {returned}\n"
    use = use_in("Conv3d", returned="pass", network=network)
    assert (use.name, use.line) == ("Conv3d", 4)


def test_the_first_use_is_named():
    assert use_in("softmax", made="self.end = F.softmax", returned="F.softmax(x)").line == 11


@pytest.mark.parametrize(
    ("forbidden", "parts"),
    [
        ("dropout", {"made": "self.dropout = nn.Dropout(0.1)", "returned": "self.dropout(x)"}),
        ("blend", {"returned": "self.blend(x)\n\n    def blend(self, x):\n        return x"}),
        ("Softmax", {"returned": "x if isinstance(self.head, (nn.Linear, nn.Softmax)) else -x"}),
        ("Softmax", {"top": "from torch.nn import Softmax\n"}),
        ("softmax", {}),
        ("softmax", {"top": "def softmax(x):\n    return x\n\n\n", "returned": "softmax(x)"}),
        ("Softmax", {"made": "kind: nn.Softmax = None"}),
        ("softmax", {"made": "self.name = 'softmax'  # F.softmax(x)"}),
        ("Linea", {}),
        ("linear", {}),
    ],
)
def test_what_is_no_use_is_not_taken_for_one(forbidden, parts):
    assert use_in(forbidden, **parts) is None


def test_an_own_name_does_not_hide_the_operator_that_it_stands_for():
    top = "import torch\n\n\ndef softmax(x):\n    return torch.softmax(x, -1)\n\n\n"
    assert use_in("softmax", top=top, returned="softmax(x)").line == 5


def test_nothing_forbidden_finds_nothing():
    assert forbidden_use(check_source(NETWORK.format(made="pass", returned="x")).tree, ()) is None


def test_only_plain_names_can_be_forbidden():
    assert all(map(OPERATOR_NAME.fullmatch, ("Conv3d", "softmax", "_x", "a" * 64)))
    assert not any(map(OPERATOR_NAME.fullmatch, ("", "nn.Conv3d", "3d", "a b", "é", "a" * 65, "x\n")))
