"""The damage benchmark itself: its truth is true, its damage does harm, and what it demands can be known."""

import ast
import random
import re
from difflib import unified_diff

import pytest
from delta_damage import transports
from delta_damage.catalogue import HELD_OUT, PUBLIC
from delta_damage.context import missing_blank_lines
from delta_damage.determinacy import (
    arrangements,
    dropping_keeps_order,
    is_distinct,
    readings_of_gaps,
    stand_at_one_place,
    stand_nowhere_else,
)
from delta_damage.headers import miscount
from delta_damage.hunks import Hunk, Line, diff, diff_text, hunk_text, read_canonical, result_of, split_lines
from delta_damage.kinds import INTACT, draw
from delta_damage.lemur import HELD_OUT_FAMILIES, LARGE_FAMILIES, Lemur
from delta_damage.losses import ambiguous_place, truncated_in_a_change
from delta_damage.pairs import Pair, normalised, pair_of
from delta_damage.scores import Outcome, Score, Trial, overall, quantile, score, try_all, wilson

KINDS = {kind.name: kind for kind in (*PUBLIC, *HELD_OUT)}
RESPELT = {kind.name for kind in transports.KINDS}
EXACT = [kind.name for kind in PUBLIC if "refuse" not in kind.definition and kind.name not in RESPELT]


def lines(text):
    return tuple(Line(line[0], line[1:]) for line in text.splitlines())


def test_the_true_diff_is_the_one_that_difflib_writes(pairs):
    for pair in pairs:
        old, new = pair.baseline.splitlines(True), pair.target.splitlines(True)
        assert diff_text(pair.hunks) == "".join(unified_diff(old, new, "a/net.py", "b/net.py"))


def test_true_hunks_lead_from_the_baseline_to_the_target(pairs):
    for pair in pairs:
        assert pair.baseline != pair.target
        assert result_of(pair.baseline, pair.hunks) == pair.target
        assert read_canonical(diff_text(pair.hunks)) == pair.hunks


def test_what_is_no_canonical_delta_is_not_read(pairs):
    with pytest.raises(ValueError):
        read_canonical(diff_text(pairs[0].hunks) + "prose\n")
    with pytest.raises(ValueError):
        read_canonical("--- a\n+++ b\n@@ ... @@\n x\n")


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_repeatable_harmful_and_has_a_valid_answer(pairs, name):
    first, again = (draw(KINDS[name], pairs, 4, seed=3) for _ in range(2))
    assert first == again
    assert first
    assert len({(one.baseline, one.answer) for one in first}) == len(first)
    for one in first:
        harmless = (one.answer, one.baseline) == (diff_text(one.pair.hunks), one.pair.baseline)
        assert harmless == (name == INTACT)
        assert one.baseline not in one.right
        assert all(ast.parse(source) for source in one.right)


def test_another_seed_draws_other_damage(pairs):
    first, other = (draw(KINDS["typos in context"], pairs, 4, seed=seed) for seed in (0, 1))
    assert {one.answer for one in first} != {one.answer for one in other}


def test_the_target_itself_is_right_wherever_nothing_about_it_is_lost(pairs):
    for name in ("wrong numbers", "typos in context", "outdent", "no prefix", "missing blank lines", "mixed"):
        for one in draw(KINDS[name], pairs, 4, seed=0):
            assert one.pair.target in one.right, name


@pytest.mark.parametrize("name", ["wrong numbers", "copied headers", "bare headers", "no headers"])
def test_hunks_without_true_numbers_fit_at_one_place(pairs, name):
    for one in draw(KINDS[name], pairs, 5, seed=0):
        assert len(arrangements(one.baseline, [hunk.old for hunk in one.pair.hunks])) == 1


def test_an_ambiguous_hunk_has_two_valid_readings():
    block = "        layers.append(nn.ReLU())\n        layers.append(nn.Conv2d(8, 8, 3))\n"
    baseline = f"class Net:\n    def f(self):\n        a = 1\n{block}        b = 2\n{block}        c = 3\n"
    target = baseline.replace("nn.ReLU())", "nn.GELU())", 1)
    pair = Pair("twice", baseline, target, diff(baseline, target))
    drawn = [ambiguous_place(pair, random.Random(seed)) for seed in range(20)]
    found = [damaged for damaged in drawn if damaged]
    assert found
    assert all(not damaged.right and not re.search(r"@@ -\d", damaged.text) for damaged in found)
    unique = baseline.replace("b = 2", "b = 2\n        return").replace(block, "", 1)
    changed = unique.replace("nn.ReLU())", "nn.GELU())")
    once = Pair("once", unique, changed, diff(unique, changed))
    assert not any(ambiguous_place(once, random.Random(seed)) for seed in range(20))


def test_a_truncated_delta_has_lost_part_of_a_change(pairs):
    for one in draw(KINDS["truncated in a change"], pairs, 20, seed=0):
        whole = sum(line.sign != " " for hunk in one.pair.hunks for line in hunk.lines)
        kept = [line for line in one.answer.splitlines() if re.match(r"[+-](?![+-]{2} )", line)]
        complete = {f"{line.sign}{line.text}" for hunk in one.pair.hunks for line in hunk.lines}
        assert one.must_refuse
        assert len(kept) < whole or kept[-1] not in complete


def test_a_cut_that_nobody_could_notice_is_never_drawn():
    """`return x + y` cut to `return x` at the end of all changes leaves a valid and complete hunk."""
    baseline = "class Net:\n    def f(self, x, y):\n        z = 1\n        return 0\n"
    target = baseline.replace("return 0", "return xxxxxxxx")
    pair = Pair("cut", baseline, target, diff(baseline, target))
    drawn = [truncated_in_a_change(pair, random.Random(seed)) for seed in range(60)]
    assert any(drawn)
    assert not any(damaged and re.search(r"\n\+        return x*\n?$", damaged.text) for damaged in drawn)


def test_truncation_within_the_last_context_leaves_the_target_right(pairs):
    for one in draw(KINDS["truncated in context"], pairs, 5, seed=0):
        assert one.right == {one.pair.target}


def test_an_insertion_among_lost_blank_lines_may_stand_on_either_side_of_them():
    baseline = "a = 1\n\nb = 2\nc = 3\nd = 4\ne = 5\n"
    target = "a = 1\n\nnew = 0\nb = 2\nc = 3\nd = 4\ne = 5\n"
    pair = Pair("blank", baseline, target, diff(baseline, target))
    found = [missing_blank_lines(pair, random.Random(seed)) for seed in range(10)]
    damaged = next(one for one in found if one)
    assert damaged.right == {target, "a = 1\nnew = 0\n\nb = 2\nc = 3\nd = 4\ne = 5\n"}


def test_blank_lines_lost_behind_a_replacement_leave_one_reading():
    body = lines(" a\n-b\n+B\n \n c")
    assert readings_of_gaps(body, {3}) == [body]
    assert dropping_keeps_order(body, {3})
    assert not dropping_keeps_order(lines(" a\n \n+B\n c"), {1})
    assert readings_of_gaps(lines(" a\n+x\n \n+y\n c"), {2}) is None


def test_added_lines_between_two_removed_ones_may_replace_either():
    body = lines("-a\n+A\n \n-b\n c")
    assert set(readings_of_gaps(body, {2})) == {body, lines("-a\n \n+A\n-b\n c")}
    assert not dropping_keeps_order(body, {2})


def test_wrong_counts_are_wrong(pairs):
    rng = random.Random(0)
    for pair in pairs:
        for hunk in pair.hunks:
            wrong = miscount(hunk, rng)
            assert wrong.numbers() != hunk.numbers()
            assert (wrong.numbers()[0], wrong.numbers()[2]) == (hunk.numbers()[0], hunk.numbers()[2])
            assert min(wrong.numbers()[1::2]) > 0


def test_a_hunk_that_fits_elsewhere_as_well_is_noticed():
    block = "x = conv(x)\nx = norm(x)\nx = relu(x)\n"
    baseline = f"{block}\n{block}y = pool(x)\nz = head(y)\n"
    first = Hunk(0, None, lines(" x = conv(x)\n-x = norm(x)\n x = relu(x)"))
    last = Hunk(7, None, lines(" y = pool(x)\n-z = head(y)"))
    assert not stand_at_one_place(baseline, (first,))
    assert stand_at_one_place(baseline, (last,))
    assert stand_at_one_place(baseline, (first, Hunk(4, None, first.lines)))
    assert not stand_nowhere_else(baseline, (first,))
    assert stand_nowhere_else(baseline, (last,))
    assert not is_distinct(baseline, first)
    assert is_distinct(baseline, last)


@pytest.mark.parametrize("name", EXACT)
def test_the_letters_of_added_lines_survive_what_can_be_read(pairs, name):
    """Whatever became of their sign and their spaces, and of everything around them."""
    for one in draw(KINDS[name], pairs, 5, seed=0):
        letters = re.sub(r"\s", "", one.answer)
        for hunk in one.pair.hunks:
            added = [re.sub(r"\s", "", line.text) for line in hunk.lines if line.sign == "+"]
            assert all(text in letters for text in added)


def test_held_out_kinds_are_many_and_not_among_the_public_ones():
    assert len(PUBLIC) - 1 >= 18
    assert len(HELD_OUT) >= 5
    assert not {kind.name for kind in PUBLIC} & {kind.name for kind in HELD_OUT}
    assert len(HELD_OUT_FAMILIES) * 3 == len(LARGE_FAMILIES)
    assert Lemur.__doc__


def test_pairs_are_steps_between_networks_of_one_contract(pairs):
    plain, lemur = pairs[0], next(pair for pair in pairs if pair.name.startswith("lemur-cnn"))
    assert pair_of("step", plain.baseline, plain.target) == Pair("step", *_texts(plain), plain.hunks)
    assert pair_of("nothing", plain.baseline, plain.baseline) is None
    assert pair_of("comments", plain.baseline, "# a\n# b\n# c\n" + plain.baseline) is None
    assert pair_of("contracts", plain.baseline, lemur.baseline) is None
    assert pair_of("broken", plain.baseline, plain.target.replace("class Net", "class Not")) is None
    assert normalised("a\r\nb\n\n") == "a\nb\n"


def _texts(pair):
    return pair.baseline, pair.target


def test_outcomes_are_counted_as_defined(pairs):
    exact = draw(KINDS["wrong numbers"], pairs, 1, seed=0)[0]
    refuse = draw(KINDS["contradicting diffs"], pairs, 1, seed=0)[0]
    assert Trial(exact, exact.pair.target, 0).outcome is Outcome.RIGHT
    assert Trial(exact, exact.pair.target + "\n", 0).outcome is Outcome.WRONG
    assert Trial(exact, None, 0).outcome is Outcome.REFUSED
    assert Trial(refuse, None, 0).outcome is Outcome.RIGHT
    assert Trial(refuse, refuse.pair.target, 0).outcome is Outcome.WRONG
    trials = try_all(lambda baseline, answer: None, [exact, refuse])
    assert score(trials) == Score(count=2, right=1, wrong=0)


def test_kinds_weigh_the_same_and_the_control_nothing():
    scores = {INTACT: Score(1000, 1000, 0), "a": Score(10, 10, 0), "b": Score(90, 45, 9)}
    mean = overall(scores)
    assert (mean.kinds, mean.count) == (2, 100)
    assert mean.right_share == pytest.approx(0.75)
    assert mean.wrong_share == pytest.approx(0.05)
    assert mean.wrong_interval == wilson(9, 100)


def test_the_wilson_interval_matches_published_values():
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_hunk_is_written_as_its_parts_say():
    hunk = Hunk(0, "@@ -1 +1,2 @@", (Line(" ", "a"), Line("+", "b"), Line("", "c")))
    assert hunk_text(hunk) == "@@ -1 +1,2 @@\n a\n+b\nc\n"
    assert hunk.recounted().header == "@@ -1,2 +1,3 @@"
    assert split_lines("a\n\nb\n") == ["a", "", "b"]
