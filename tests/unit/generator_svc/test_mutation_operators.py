"""Each operator: what it changes, what it carries along, and what it refuses."""

import random
from functools import cache

import pytest
from mutation_sources import BLOCKS, HARD_CODED_CLASSES, LEMUR, LITERAL_WIDTHS, RESIDUAL_LITERALS

from generator_svc.proposers.mutation.catalogue import OPERATORS
from generator_svc.proposers.mutation.propagation import number_change
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.proposers.mutation.verification import is_sound

SITES = {operator.name: operator.sites for operator in OPERATORS}


@cache
def sound_changes(name, source, draws=6):
    """Every sound change that an operator can make in a few draws at each of its sites."""
    subject = Subject(source)
    changes = [site(random.Random(seed)) for site in SITES[name](subject) for seed in range(draws)]
    return [change for change in changes if change is not None and is_sound(change.source, subject)]


def widened(source, old_text, value):
    """The change that sets the first literal written as in `old_text` (its last number) to `value`."""
    subject = Subject(source)
    line = next(i for i, text in enumerate(source.splitlines(), 1) if old_text in text)
    start = source.splitlines()[line - 1].index(old_text) + len(old_text)
    span = next(s for s in subject.traces[0].journal.literals if s[0] == line and s[3] == start)
    return number_change(subject, span, value, "width")


def test_a_width_written_as_literals_is_carried_to_every_consumer():
    change = widened(LITERAL_WIDTHS, "in_shape[1], 16", 24)
    assert "nn.Conv2d(in_shape[1], 24, 3" in change.source
    assert "nn.BatchNorm2d(24)" in change.source
    assert "nn.Conv2d(24, 32, 3" in change.source
    assert change.summary == "width of conv1 16 → 24 (+2 that follow)"


def test_a_width_is_carried_through_a_product_and_a_view():
    change = widened(LITERAL_WIDTHS, "nn.Conv2d(16, 32", 48)
    assert "nn.Linear(48 * 4" in change.source
    assert "view(-1, 48 * 4)" in change.source


def test_a_pooled_size_takes_the_linear_layer_with_it_and_not_the_widths():
    change = widened(LITERAL_WIDTHS, "AdaptiveAvgPool2d(2", 3)
    assert "nn.Linear(32 * 9" in change.source
    assert "nn.Conv2d(16, 32, 3" in change.source


def test_both_branches_of_a_sum_get_the_same_width():
    change = widened(RESIDUAL_LITERALS, "in_shape[1], 16", 32)
    assert change.source.count("in_shape[1], 32") == 2
    assert "nn.Linear(32, " in change.source


def test_a_width_in_a_tuple_needs_no_other_change():
    change = widened(BLOCKS, "widths = (8", 12)
    assert change.summary == "width of widths 8 → 12"
    assert "widths = (12, 16)" in change.source


def test_the_number_of_classes_is_never_mutated():
    assert sound_changes("width", HARD_CODED_CLASSES) == []


def test_a_kernel_takes_its_padding_along():
    sources = [change.source for change in sound_changes("kernel", LITERAL_WIDTHS)]
    assert any("nn.Conv2d(in_shape[1], 16, 5, padding=2)" in source for source in sources)
    assert any("nn.Conv2d(in_shape[1], 16, 1, padding=0)" in source for source in sources)


def test_a_stride_is_not_added_where_the_map_is_small():
    tiny = LITERAL_WIDTHS.replace("self.pool(x)", "self.pool(x)").replace(
        "AdaptiveAvgPool2d(2)", "MaxPool2d(14)"
    )
    assert all("conv2" not in change.summary for change in sound_changes("stride", tiny))


def test_repeats_change_a_default_of_a_constructor():
    sources = [change.source for change in sound_changes("repeats", BLOCKS)]
    assert any("depth=3" in source for source in sources)
    assert any("depth=1" in source for source in sources)


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("activation", BLOCKS, "nn.GELU()"),
        ("activation", LITERAL_WIDTHS, "nn.functional.gelu(self.norm1(self.conv1(x)))"),
        ("normalisation", LITERAL_WIDTHS, "nn.GroupNorm(16, 16)"),
        ("normalisation", BLOCKS, "nn.BatchNorm2d(widths[0]),"),
        ("dropout", BLOCKS, "nn.Dropout2d(0.1)"),
        ("dropout", BLOCKS, "nn.functional.dropout(x.mean(dim=(2, 3)), p="),
        ("pooling", LITERAL_WIDTHS, "nn.AdaptiveMaxPool2d(2)"),
        ("pooling", BLOCKS, "x.amax(dim=(2, 3))"),
        ("dilation", LITERAL_WIDTHS, "padding=2, dilation=2"),
        ("grouping", LITERAL_WIDTHS, "groups=16"),
        ("block_inserted", BLOCKS, "self.block_more2 = Block(widths[0])"),
        ("block_inserted", BLOCKS, "nn.Conv2d(widths[0], widths[0], 3, padding=1)"),
        ("block_removed", BLOCKS, "x = self.stem(x)\n        x = self.grow(x)"),
        ("residual", BLOCKS, "x = x + self.block(x)"),
        ("attention", BLOCKS, "SqueezeExcite(widths[0]),"),
        ("attention", BLOCKS, "class SqueezeExcite(nn.Module):"),
        ("stride", LITERAL_WIDTHS, "padding=1, stride=2"),
    ],
)
def test_an_operator_makes_its_typical_change(name, source, expected):
    assert any(expected in change.source for change in sound_changes(name, source))


@pytest.mark.parametrize(
    "expected",
    [
        'lr=prm["lr"] * 0.5',
        'torch.optim.AdamW(self.parameters(), lr=prm["lr"] * 0.05)',
        "label_smoothing=0.1",
        "weight_decay=5e-4",
        "momentum=0.95",
        "clip_grad_norm_(self.parameters(), 1.0)",
        "T_max=len(train_data))",
        "scheduler.step()",
        "inputs.flip(-1)",
    ],
)
def test_training_of_a_lemur_network_can_change(expected):
    assert any(expected in change.source for change in sound_changes("training", LEMUR, draws=16))


def test_training_of_a_plain_module_is_not_its_own():
    assert SITES["training"](Subject(BLOCKS)) == []


def test_an_inserted_row_keeps_the_line_layout_and_the_comments():
    change = next(c for c in sound_changes("normalisation", BLOCKS) if "stem" in c.summary)
    lines = change.source.splitlines()
    at = next(i for i, line in enumerate(lines) if "# keeps the size" in line)
    assert lines[at + 1].startswith("            nn.")
    assert lines[at + 2] == "            nn.ReLU(),"


def test_a_mutant_that_triples_the_cost_is_refused():
    subject = Subject(BLOCKS)
    assert not is_sound(BLOCKS.replace("(8, 16)", "(64, 64)"), subject)


def test_a_mutant_without_net_or_with_another_contract_is_refused():
    subject = Subject(BLOCKS)
    assert not is_sound(BLOCKS.replace("class Net", "class Other"), subject)
    assert not is_sound(
        BLOCKS.replace("    def forward", "    def learn(self, data):\n        pass\n\n    def forward"),
        subject,
    )
