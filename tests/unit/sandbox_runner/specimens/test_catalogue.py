"""The specimens agree with their sources and with the page that lists them; rounds keep their order."""

import itertools
from pathlib import Path

import pytest

from contracts.names import MAX_SOURCE_BYTES, IsolationTier
from sandbox_runner.specimens.arena import AT_A_TIME, rounds_of
from sandbox_runner.specimens.catalogue import SECTIONS, SPECIMENS
from sandbox_runner.specimens.listing import COMMAND, FILE, listing
from sandbox_runner.specimens.specimen import CONTROL, SOURCES, EarnsTrueScore, Specimen

DOCS = Path(__file__).parents[4] / "docs"


def test_every_source_is_one_specimen_and_every_specimen_has_a_source():
    assert sorted(path.stem for path in SOURCES.glob("*.py")) == sorted(
        [CONTROL.name, *(specimen.name for specimen in SPECIMENS)]
    )


def test_there_are_at_least_110():
    assert len(SPECIMENS) >= 110


def test_each_attack_is_told_once_in_one_line():
    told = [specimen.attack for specimen in SPECIMENS]
    assert len(set(told)) == len(told)
    for attack in told:
        assert attack == attack.strip()
        assert "\n" not in attack
        assert attack.endswith(".")
        assert 8 < len(attack) <= 120


def test_the_page_of_attacks_is_current():
    assert (DOCS / FILE).read_text(encoding="utf-8") == listing(), f"run: {COMMAND}"


def test_a_dozen_on_every_docker_tier_is_spread_over_the_sections():
    essential = {
        section.title: [one.name for one in section.specimens if one.essential] for section in SECTIONS
    }
    assert 12 <= sum(map(len, essential.values())) <= 16
    for title in ("File system", "Processes", "Memory, processor and output", "Network and host"):
        assert essential[title]


def test_sources_fit_the_limit_with_room_for_placeholders_and_mark():
    assert all(len(specimen.source.encode()) < MAX_SOURCE_BYTES - 1024 for specimen in SPECIMENS)


def test_a_predecessor_is_a_specimen():
    names = {specimen.name for specimen in SPECIMENS}
    assert {specimen.after for specimen in SPECIMENS if specimen.after} <= names


# --- rounds


def specimen(name, after=""):
    return Specimen(name, f"Is {name}.", EarnsTrueScore(), after=after)


A, B, C, D, E, F = (specimen(name) for name in "abcdef")
AFTER_A = specimen("after a", after="a")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([], []),
        ([A], [(A,)]),
        ([A, B, C, D, E, F], [(A, B), (C, D, E), (F,)]),
        ([A, AFTER_A, B], [(A,), (AFTER_A, B)]),
        ([AFTER_A], [(A,), (AFTER_A,)]),
        ([B, AFTER_A, A], [(B, A), (AFTER_A,)]),
    ],
)
def test_rounds_are_in_order_and_nobody_runs_beside_or_before_its_predecessor(chosen, expected):
    assert rounds_of(chosen, [A, B, C, D, E, F, AFTER_A]) == expected


def test_every_specimen_is_in_exactly_one_round():
    rounds = rounds_of(SPECIMENS, SPECIMENS)
    assert sorted(one.name for beside in rounds for one in beside) == sorted(one.name for one in SPECIMENS)
    assert max(map(len, rounds)) == AT_A_TIME


def test_of_any_two_rounds_in_a_row_one_has_a_place_for_the_control():
    sizes = [len(beside) for beside in rounds_of(SPECIMENS, SPECIMENS)]
    assert sizes[0] < AT_A_TIME
    assert all(min(pair) < AT_A_TIME for pair in itertools.pairwise(sizes))


def test_expectations_may_differ_by_tier():
    differing = Specimen("x", "X.", EarnsTrueScore(), differs={IsolationTier.DOCKER_RUNSC: "other"})
    assert differing.expected_on(IsolationTier.DOCKER_RUNC) == EarnsTrueScore()
    assert differing.expected_on(IsolationTier.DOCKER_RUNSC) == "other"
