"""SIGKILL for every part of a farm, in turn and at random: nothing is lost, nothing counts twice."""

import random

from ledger import Ledger, slow
from whole_farm import DOWN_SECONDS, START_SECONDS

BREATHS_SECONDS = (1.0, 8.0)
"""How long the farm is left in peace between two kills."""
EVALUATIONS_PER_SEARCH = 100
OPEN = 4
"""So many wait or run: more than the hosts can hold."""
SLOW = slow(4)


def test_each_part_is_killed_in_turn_while_evaluations_and_a_search_run(farm):
    ledger = Ledger(farm, "in-turn")
    ledger.start_search()
    for victim in farm.victims:

        def is_hit(victim=victim):
            """At work: whoever is killed for it, an attempt is under way there."""
            ledger.keep_open(OPEN, source=SLOW)
            hosts = farm.hosts if victim.host is None else [victim.host]
            return any(ledger.held_by(host.name) for host in hosts) and victim.kill() is not False

        farm.tend_until(is_hit)
        print(f"killed: {victim.name}")
        done = ledger.ended
        farm.tend_until(lambda done=done: ledger.ended > done)
    ledger.wait_until_over(START_SECONDS)
    ends = ledger.settle_up()
    print(dict(ends))
    assert ends["lost"] > 0, "no kill has hit an attempt"


def test_parts_are_killed_at_random_while_evaluations_and_a_search_run(farm, evaluations, seed):
    print(f"CHAOS_SEED={seed} EVALUATIONS={evaluations}")
    draw = random.Random(seed)
    ledger = Ledger(farm, f"at-random-{seed}")
    kills = 0
    while (done := ledger.ended) < evaluations:
        if len(ledger.accepted) >= EVALUATIONS_PER_SEARCH * len(ledger.searches):
            ledger.start_search()
        ledger.submit(min(evaluations - len(ledger.accepted), draw.randint(1, 8)), source=SLOW)
        farm.tend_for(draw.uniform(*BREATHS_SECONDS))
        draw.choice(farm.victims).kill()
        kills += 1
        # However slowly a machine starts what was killed, work goes on.
        farm.tend_until(lambda done=done: ledger.ended > done)
    ledger.wait_until_over(START_SECONDS)
    farm.tend_for(DOWN_SECONDS + 1)
    farm.tend_until(farm.serves)
    ends = ledger.settle_up()
    print(f"{kills} kills, {dict(ledger.refusals)} refused and asked again, attempts: {dict(ends)}")
    assert kills >= 3
