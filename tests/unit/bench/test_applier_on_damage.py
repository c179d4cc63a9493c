"""The applier stays as good as the benchmark found it: ten pairs, every public kind, fixed seeds."""

import pytest
from delta_damage.appliers import ours
from delta_damage.catalogue import PUBLIC
from delta_damage.kinds import INTACT, draw
from delta_damage.scores import Outcome, overall, score, try_all

INSTANCES = 10
LEAST_RIGHT, MOST_WRONG = 0.95, 0.01


@pytest.fixture(scope="module")
def trials(pairs):
    return {kind.name: try_all(ours, draw(kind, pairs, INSTANCES, seed=0)) for kind in PUBLIC}


def test_an_undamaged_delta_always_gives_the_target(trials):
    assert [trial.outcome for trial in trials[INTACT]] == [Outcome.RIGHT] * INSTANCES


def test_damaged_deltas_are_read_rightly_over_all_kinds(trials):
    mean = overall({name: score(found) for name, found in trials.items()})
    assert mean.kinds == len(PUBLIC) - 1
    assert mean.count > 9 * mean.kinds
    assert mean.right_share >= LEAST_RIGHT
    assert mean.wrong_share <= MOST_WRONG


@pytest.mark.parametrize("kind", [kind.name for kind in PUBLIC])
def test_no_kind_of_damage_is_given_up(trials, kind):
    """Loose, for ten instances say little; the mean above is what binds."""
    found = score(trials[kind])
    assert found.right_share >= 0.7
    assert found.wrong <= 1
