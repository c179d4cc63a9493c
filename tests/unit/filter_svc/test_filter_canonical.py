"""Which differences between sources vanish in the canonical text, and which never do."""

import ast
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filter_svc.canonical import NotScreenable, canonical_source

SOURCE = '''"""A network."""
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH = 16


def act(x, slope=0.1):
    """Leaky."""
    return F.leaky_relu(x, slope)


class Block(nn.Module):
    expansion = 2

    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout * self.expansion, 3, padding=1)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        return self.norm(self.conv(x))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        widths = [WIDTH * k for k in (1, 2, 4)]
        self.blocks = nn.ModuleList([Block(a, b) for a, b in zip(widths, widths[1:])])
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(widths[-1], out_shape[0])

    def forward(self, x):
        total = 0.0
        scale = lambda value: value * x.std()

        def add(part):
            nonlocal total
            total = total + part
            return part

        for block in self.blocks:
            x = act(block(x))
            add(x.mean())
        with torch.no_grad() as guard:
            del guard
        return self.head(self.relu1(scale(x)).mean((2, 3))) + total
'''
NET = "from torch import nn\n\n\nclass Net(nn.Module):\n"


def net(body):
    return NET + "\n".join(f"    {line}" for line in body.splitlines()) + "\n"


def forward(body):
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return net(f"def forward(self, x):\n{lines}")


def same(left, right):
    assert canonical_source(left) == canonical_source(right)


def different(left, right):
    assert canonical_source(left) != canonical_source(right)


def test_the_canonical_text_is_canonical_itself_and_parses():
    text = canonical_source(SOURCE)
    ast.parse(text)
    assert canonical_source(text) == text


def test_comments_docstrings_and_layout_do_not_matter():
    changed = SOURCE.replace('"""Leaky."""', "'''Other\n    words.'''").replace("  # ", "")
    changed = changed.replace("(1, 2, 4)", "(\n            1,  # one\n            2, 4,\n        )").replace(
        "0.1", "1e-1"
    )
    changed = "# head\n\n\n" + changed.replace('"""A network."""\n', "").replace("'", '"')
    same(SOURCE, changed)


def test_annotations_and_pass_do_not_matter():
    changed = SOURCE.replace("def forward(self, x):", "def forward(self, x: torch.Tensor) -> torch.Tensor:")
    changed = changed.replace("total = 0.0", "total: float = 0.0\n        pass")
    same(SOURCE, changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x", "images"),
        ("cin", "channels_in"),
        ("widths", "w"),
        ("k", "factor"),
        ("value", "v"),
        ("part", "p"),
        ("total", "accumulated"),
        ("block", "layer"),
        ("act", "activate"),
        ("Block", "Layer"),
        ("WIDTH", "CHANNELS"),
        ("self", "this"),
        ("conv", "first"),
        ("norm", "second"),
        ("blocks", "stages"),
        ("relu2", "unused"),
        ("head", "classifier"),
        ("expansion", "growth"),
        ("slope", "negative"),
        ("guard", "g"),
        ("add", "plus"),
    ],
)
def test_a_consistent_rename_does_not_matter(old, new):
    renamed = re.sub(rf"\b{old}\b", new, SOURCE)
    assert renamed != SOURCE
    same(SOURCE, renamed)


def test_the_way_of_importing_does_not_matter():
    body = "class Net({module}):\n    def forward(self, x):\n        return {relu}({conv}(1, 2, 3)(x))\n"
    ways = [
        ("import torch\n", "torch.nn.Module", "torch.nn.functional.relu", "torch.nn.Conv2d"),
        ("import torch.nn as nn\nimport torch.nn.functional as F\n", "nn.Module", "F.relu", "nn.Conv2d"),
        ("from torch import nn\n", "nn.Module", "nn.functional.relu", "nn.Conv2d"),
        (
            "import math\nfrom torch.nn import *\n" * 0
            + "from torch.nn import Conv2d as C, Module, functional\n",
            "Module",
            "functional.relu",
            "C",
        ),
        (
            "from torch.nn.functional import relu\nfrom torch.nn import Conv2d, Module\nimport os\n",
            "Module",
            "relu",
            "Conv2d",
        ),
    ]
    texts = {canonical_source(head + body.format(module=m, relu=r, conv=c)) for head, m, r, c in ways}
    assert len(texts) == 1


def test_an_import_inside_a_function_counts_as_any_other():
    same(
        forward("import torch.nn.functional as F\nreturn F.relu(x)"), forward("return nn.functional.relu(x)")
    )


def test_a_missing_import_still_matters():
    different(forward("return math.sqrt(2) * x"), "import math\n" + forward("return math.sqrt(2) * x"))


def test_an_import_with_a_fallback_is_left_alone():
    fallback = "try:\n    import fast as f\nexcept ImportError:\n    f = None\n"
    different(fallback + forward("return f"), "import fast as f\n" + forward("return f"))


def test_a_local_that_hides_an_import_is_not_the_import():
    different(forward("nn = x\nreturn nn.relu"), forward("y = x\nreturn nn.relu"))
    same(forward("nn = x\nreturn nn.relu"), forward("y = x\nreturn y.relu"))
    same("import torch\n" + forward("torch = x\nreturn nn.relu, torch"), forward("a = x\nreturn nn.relu, a"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("a = x\nb = a\nreturn a", "a = x\nb = a\nreturn b"),
        ("return [a for a in x for b in x]", "return [b for a in x for b in x]"),
        ("y = 1\nf = lambda: y\nreturn f", "y = 1\nf = lambda y: y\nreturn f"),
        (
            "y = 1\ndef f():\n    y = 2\n    return y\nreturn y",
            "y = 1\ndef f():\n    nonlocal y\n    y = 2\n    return y\nreturn y",
        ),
        (
            "y = 1\ndef f():\n    z = 2\n    return y\nreturn f",
            "y = 1\ndef f():\n    z = 2\n    return z\nreturn f",
        ),
        ("global y\ny = 1\nreturn x", "y = 1\nreturn x"),
        ("return self.a(x)", "return self.b(x)"),
        ("return x.relu()", "return x.tanh()"),
        ("return nn.ReLU(inplace=x)", "return nn.ReLU(outplace=x)"),
        ("return x + 1", "return x + 1.0"),
        ("return x == True", "return x == 1"),
        ("return x[0]", "return x[False]"),
        ("return x + 1", "x += 1\nreturn x"),
        ("return 'a'", "return b'a'"),
        ("return f'{x}'", "return f'{x!r}'"),
        ("return f'{x:1}'", "return f'{x:2}'"),
        ("return len(x)", "return sum(x)"),
    ],
)
def test_what_computes_otherwise_stays_different(left, right):
    different(forward(left), forward(right))


def test_swapped_parameters_of_a_helper_called_by_keyword_stay_different():
    helper = "def mix({}):\n    return a - b\n\n\n"
    call = forward("return mix(a=x, b=1)")
    assert canonical_source(helper.format("a, b") + call) != canonical_source(helper.format("b, a") + call)


def test_attributes_seen_from_outside_or_by_name_keep_theirs():
    block = "class Block(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    head = "from torch import nn\n\n\n" + block
    use = "\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return {}\n"
    first = "        self.p = nn.Linear(1, 2)\n        self.q = nn.Linear(3, 4)\n"
    second = "        self.q = nn.Linear(1, 2)\n        self.p = nn.Linear(3, 4)\n"
    for expression in ("Block().p(x)", "getattr(Block(), 'p')(x)", "getattr(Block(), x)"):
        different(head + first + use.format(expression), head + second + use.format(expression))
    same(head + first + use.format("x"), head + first.replace(".p", ".r") + use.format("x"))


def test_a_source_that_reads_its_own_names_keeps_them():
    different(forward("a = x\nreturn locals()"), forward("b = x\nreturn locals()"))


def test_attributes_of_a_foreign_base_keep_their_names():
    head = "import torchvision\n\n\nclass Net(torchvision.models.ResNet):\n"
    source = head + "    def forward(self, x):\n        self.{} = x\n"
    different(source.format("fc"), source.format("head"))


def test_a_layer_inserted_leaves_the_names_of_the_others():
    inserted = SOURCE.replace("        self.relu1", "        self.drop = nn.Dropout(0.3)\n        self.relu1")
    lines, more = canonical_source(SOURCE).splitlines(), canonical_source(inserted).splitlines()
    assert len(set(more) - set(lines)) == 1
    assert set(lines) <= set(more)


@pytest.mark.parametrize(
    "construct",
    [
        "match x:\n    case {'a': y, **r}:\n        return y\n    case [a, *b] as whole:\n        return a",
        "try:\n    y = x\nexcept (ValueError, TypeError) as error:\n    raise error\nfinally:\n    del x",
        "return [y for z in x if (y := z + 1)]",
        "async def go(a, /, b, *c, d=1, **e):\n    async with a as f:\n        return [g async for g in f]",
        "y = yield x\nreturn y",
        'return f\'{x!r:>{10}} {{}} {"a" + "b"}\'',
        "class Inner:\n    y = 1\n    z = y\n    def m(self):\n        return self.y\nreturn Inner",
        "x: int\nfor y in x:\n    pass\nelse:\n    ...\nwhile x:\n    'only words'\nreturn x",
        "a, (b, *c) = x\na[b].c = c\nreturn a @ b",
        "return (lambda *a, k=1, **kw: (a, k, kw))(x)",
        "global g\ng = x\nreturn g",
        "return -1, 1e400, 1j, 0x10, 1_000, '\\ud800', '''\n'''",
    ],
)
def test_every_construct_is_canonicalised_idempotently(construct):
    text = canonical_source(forward(construct))
    assert canonical_source(text) == text


@pytest.mark.parametrize(
    "source", ["", "def (", "x = 1", "class Net:\n    pass", "class Net(", "\0", "\ud800"]
)
def test_what_is_no_architecture_is_not_screenable(source):
    with pytest.raises(NotScreenable):
        canonical_source(source)


# --- properties over a whole source ------------------------------------------------------------------

WORDS = st.from_regex(r"[a-z]{3,8}_[0-9]", fullmatch=True)
RENAMABLE = [
    "x",
    "cin",
    "cout",
    "widths",
    "value",
    "part",
    "total",
    "act",
    "Block",
    "WIDTH",
    "conv",
    "norm",
    "blocks",
]


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.sampled_from(RENAMABLE), WORDS, max_size=6), st.randoms(use_true_random=False))
def test_no_mixture_of_renames_and_layout_changes_the_text(names, rng: random.Random):
    taken = dict(zip(names.values(), names, strict=False))
    changed = SOURCE
    for new, old in taken.items():
        changed = re.sub(rf"\b{old}\b", new, changed)
    lines = [
        line + rng.choice(["", "  # why", "   "]) if line.strip() else line for line in changed.splitlines()
    ]
    spaced = "\n".join(line + rng.choice(["", "\n", "\n\n"]) for line in lines)
    same(SOURCE, spaced)


NUMBERS = [match.span() for match in re.finditer(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)", SOURCE)]


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(NUMBERS), st.integers(5, 10_000))
def test_a_changed_number_always_changes_the_text(span, number):
    different(SOURCE, SOURCE[: span[0]] + str(number) + SOURCE[span[1] :])
