"""Which regions a source has, and which places a permission covers."""

import pytest

from contracts.edit_regions import changed_places, forbidden_places, permits, places, regions_of
from contracts.proposals import EditPermissions
from contracts.syntax import parse

SOURCE = """import torch
from torch import nn

WIDTH = 8

def unit(width):
    import math
    return nn.Conv2d(width, width, 3)

class Block(nn.Module):
    size = 3
    def forward(self, x):
        return x

class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
    async def learn(self, data):
        pass
    def forward(self, x):
        return x
"""


def test_a_source_has_a_region_for_every_way_to_name_a_part_of_it():
    assert regions_of(SOURCE) == (
        "imports", "module", "unit", "Block", "Block.forward", "Net", "Net.__init__", "__init__",
        "Net.learn", "learn", "Net.forward", "forward",
    )  # fmt: skip


def test_every_top_level_statement_stands_in_one_place():
    found = [place for place, _ in places(parse(SOURCE)) if "." not in place]
    assert found == ["imports", "imports", "module", "unit", "Block", "Net"]


def test_a_definition_cannot_take_the_name_of_a_region():
    found = [place for place, _ in places(parse("def imports():\n    pass\nclass module:\n    pass\n"))]
    assert found == ["module", "module"]


@pytest.mark.parametrize(
    ("written", "instead", "changed"),
    [
        ("import torch\n", "import torch as t\n", ("imports",)),
        ("import math", "import random", ("unit",)),
        ("WIDTH = 8", "WIDTH = 9", ("module",)),
        ("size = 3", "size = 5", ("Block",)),
        ("class Block(nn.Module)", "class Block(nn.Sequential)", ("Block",)),
        ("pass", "return data", ("Net.learn",)),
        ("async def learn", "def learn", ("Net.learn",)),
        ("def forward", "def backward", ("Block.forward", "Net.forward", "Block.backward", "Net.backward")),
        ("WIDTH = 8", "WIDTH = 8  # wide", ()),
        ("class Net", "class Head(nn.Module):\n    pass\n\nclass Net", ("Head",)),
    ],
)
def test_a_change_belongs_to_the_places_whose_code_differs(written, instead, changed):
    assert written in SOURCE
    assert changed_places(SOURCE, SOURCE.replace(written, instead)) == changed


@pytest.mark.parametrize(
    "statement",
    [
        "Net.learn = unit",
        "Net.learn: object = unit",
        "del Net.learn",
        "WIDTH, Net.learn = 8, unit",
        "if WIDTH:\n    Net.learn = unit",
        "for Net.learn in (unit,):\n    pass",
        "setattr(Net, 'learn', unit)",
        "found = [delattr(Net, 'learn')]",
    ],
)
def test_what_sets_a_method_from_outside_stands_in_two_places(statement):
    result = f"{SOURCE}\n{statement}\n"
    assert changed_places(SOURCE, result) == ("module", "Net.learn")
    assert forbidden_places(SOURCE, result, EditPermissions(never=("learn",))) == ("Net.learn",)
    assert forbidden_places(SOURCE, result, EditPermissions(only=("learn",))) == ("module",)


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("Block.forward = unit", ("module", "Block.forward")),
        ("learn = Net.learn", ("module",)),
        ("setattr(Net, name, unit)", ("module",)),
        ("torch.learn = unit", ("module",)),
        ("Net.learn.width = 8", ("module",)),
    ],
)
def test_what_only_reads_a_method_or_sets_something_else_does_not(statement, changed):
    assert changed_places(SOURCE, f"{SOURCE}\n{statement}\n") == changed


def test_what_may_not_be_changed_is_named():
    wider = SOURCE.replace("WIDTH = 8", "WIDTH = 9").replace("size = 3", "size = 5")
    assert forbidden_places(SOURCE, wider, EditPermissions()) == ()
    assert forbidden_places(SOURCE, wider, EditPermissions(only=("Block",))) == ("module",)
    assert forbidden_places(SOURCE, wider, EditPermissions(never=("Block", "imports"))) == ("Block",)


@pytest.mark.parametrize(
    ("only", "never", "place", "allowed"),
    [
        ((), (), "Net.forward", True),
        (("forward",), (), "Net.forward", True),
        (("forward",), (), "Block.forward", False),
        (("Net.forward",), (), "Net.forward", True),
        (("Net",), (), "Net.forward", True),
        (("Net.forward",), (), "Net", False),
        (("forward",), (), "imports", False),
        ((), ("imports",), "imports", False),
        ((), ("imports",), "module", True),
        ((), ("Block",), "Block.forward", False),
        (("Block",), ("Block.forward",), "Block.forward", False),
        (("Block",), ("Block.forward",), "Block", True),
    ],
)
def test_a_place_may_be_changed_where_only_names_it_and_never_does_not(only, never, place, allowed):
    assert permits(EditPermissions(only, never), place) is allowed
