"""The loop closes: a model learns from the elites, and the next cycle proposes with what came of it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import search_scene
from fakes import CrashingDatabase, FakeFineTuner, PowerCut
from fresh_databases import url_in
from search_scene import Scene, new_scene, request

from contracts.names import SearchState
from gateway.dashboard.report import render_report
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.fine_tune_plan import EliteDeltas, FineTunePlan
from gateway.domain.search import ProposerChoice
from gateway.infra.fine_tune_attempts import FineTuneAttempts
from gateway.infra.fine_tune_journal import FineTuneJournal
from gateway.infra.fine_tunes import FineTuneStore
from gateway.infra.training_hosts import TrainingHosts
from gateway.loop.fine_tune_chats import FineTuneChats
from gateway.loop.fine_tune_driver import Follower, Submitter
from gateway.loop.one_at_a_time import OneAtATime
from gateway.theory.diversity import AlarmThresholds

CYCLES = 4
ADOPTED = "adopted"
ROLLED_BACK = "rolled back"
FAILED = "failed"


@dataclass
class Learning:
    """A search whose model learns, with the generator's jobs ending as `outcomes` say, in their order."""

    scene: Scene
    folder: Path
    outcomes: tuple[str, ...] = (ADOPTED, ADOPTED, ADOPTED)
    tuner: FakeFineTuner = field(default_factory=FakeFineTuner)

    def learn(self, database=None) -> None:
        """Bring every job to its end."""
        database = database or self.scene.database
        journal = FineTuneJournal(database)
        chats = FineTuneChats(journal, None, None, self.scene.generator, OneAtATime(), self.folder)
        Submitter(journal, self.tuner, chats, lambda: False).advance()
        for job_id in self.tuner.waiting:
            outcome = self.outcomes[self.tuner.puts.index(job_id)]
            if outcome == FAILED:
                self.tuner.fail(job_id)
            else:
                self.tuner.train(job_id)
                self.tuner.succeed(job_id, adopted=outcome == ADOPTED)
        Follower(journal, self.tuner, FineTuneAttempts(database, 15), TrainingHosts(database)).advance()

    def finish(self, scene: Scene | None = None) -> None:
        """Advance, evaluate and learn in turns until the search has ended."""
        scene = scene or self.scene
        run = scene.run()
        while not run.advance():
            worked = scene.farm.work()
            if run.waits_for is not None:
                self.learn(scene.database)
            else:
                assert worked > 0, "the search waits for nothing"

    @property
    def cycles(self) -> list[dict]:
        return self.scene.store.cycles(self.scene.search_id)

    def adapters(self) -> list[int | None]:
        """Of each cycle, the number of the job whose adapter it used."""
        return [one["adapter"] and self.tuner.puts.index(one["adapter"]) for one in self.cycles]

    def asked_with(self) -> dict[int, set[str | None]]:
        """By cycle, the adapters that proposals were asked for with."""
        asked: dict[int, set[str | None]] = {}
        for one in self.scene.generator.asked:
            asked.setdefault(one.cycle, set()).add(one.adapter)
        return asked

    def story(self) -> dict:
        """The search's, and the jobs', without ids that differ from run to run."""
        jobs = [
            {
                "chats": one["fine_tune"]["chats"],
                "state": one["fine_tune"]["state"],
                "settings": self.tuner.bodies[one["fine_tune"]["id"]][0] | {"parent_adapter": None},
                "learnt": self.tuner.bodies[one["fine_tune"]["id"]][1:],
            }
            for one in self.cycles
            if one["fine_tune"]
        ]
        return {"search": self.scene.story(), "adapters": self.adapters(), "jobs": jobs}


def wanted(**plan) -> dict:
    return {
        "cycles": CYCLES,
        "elites": 8,
        "seed": 1,
        "proposer": ProposerChoice("local_llm", {"model": "tiny"}),
        "fine_tune": FineTunePlan(
            **{"settings": {"preset": "cpu", "rank": 8}, "deltas": EliteDeltas.ALL, **plan}
        ),
    }


def learning(folder, outcomes=(ADOPTED, ADOPTED, ADOPTED), seed: int = 1, **plan) -> Learning:
    return Learning(new_scene(folder, **wanted(**plan) | {"seed": seed}), folder, outcomes)


def test_each_cycle_proposes_with_what_was_learnt_from_the_ones_before(tmp_path):
    found = Learning(new_scene(tmp_path, **wanted() | {"candidates_per_cycle": 8, "elites": 40}), tmp_path)
    found.finish()
    assert found.adapters() == [None, None, 0, 1, 2]
    first, second, third = found.tuner.puts
    assert found.asked_with() == {1: {None}, 2: {first}, 3: {second}, 4: {third}}
    assert [found.tuner.bodies[job][0]["parent_adapter"] for job in found.tuner.puts] == [None, first, second]
    assert found.tuner.bodies[first][0]["rank"] == 8
    assert [one["fine_tune"] and one["fine_tune"]["state"] for one in found.cycles] == [
        None, "succeeded", "succeeded", "succeeded", None,
    ]  # fmt: skip
    assert found.scene.store.read(found.scene.search_id).state is SearchState.SUCCEEDED
    scene, search_id = found.scene, found.scene.search_id
    page = render_report(scene.store.document(search_id), found.cycles, scene.candidates.page(search_id)[0])
    assert "What the model learnt" in page
    assert f"{third}: adopted. The validation loss fell." in page


def test_a_model_that_learns_is_told_of_earlier_tries_as_well_and_learns_none_of_that(tmp_path):
    fields = wanted() | {"candidates_per_cycle": 8, "elites": 40}
    found = Learning(new_scene(tmp_path, **fields, feedback=FeedbackMemory(3)), tmp_path)
    found.finish()
    first, second, third = found.tuner.puts
    assert found.asked_with() == {1: {None}, 2: {first}, 3: {second}, 4: {third}}
    remembered = {
        cycle: {len(slot.history) for asked in asked_of(found, cycle) for slot in asked.slots}
        for cycle in range(1, CYCLES + 1)
    }
    assert remembered == {1: {0}, 2: {3}, 3: {3}, 4: {3}}
    (tmp_path / "plain").mkdir()
    without = Learning(new_scene(tmp_path / "plain", **fields), tmp_path / "plain")
    without.finish()
    assert learnt(found) == learnt(without)


def learnt(found: Learning) -> list[list[dict]]:
    """Of each job, the chats."""
    return [found.tuner.bodies[job][1:] for job in found.tuner.puts]


def asked_of(found: Learning, cycle: int):
    return [asked for asked in found.scene.generator.asked if asked.cycle == cycle]


def test_the_search_waits_until_the_model_has_learnt_and_says_so(tmp_path):
    found = learning(tmp_path)
    run = found.scene.run()
    while not run.advance() and run.waits_for is None:
        found.scene.farm.work()
    (job,) = found.scene.journal.fine_tunes()
    assert run.waits_for == f"the fine-tune {job.id} after cycle 1"
    assert {asked.cycle for asked in found.scene.generator.asked} == {1}
    found.scene.journal.wait_for(run.waits_for)  # as the conductor does
    assert not run.advance()
    assert len(found.scene.journal.fine_tunes()) == 1
    found.learn()
    assert not run.advance()
    assert found.scene.journal.search().cycle == 2
    assert found.scene.journal.search().waiting_for is None


def test_an_adapter_that_is_no_better_is_rolled_back_and_what_it_learnt_is_learnt_again(tmp_path):
    found = learning(tmp_path, (ADOPTED, ROLLED_BACK, ADOPTED))
    found.finish()
    assert found.adapters() == [None, None, 0, 0, 2]
    first, second, third = found.tuner.puts
    assert found.tuner.bodies[third][0]["parent_adapter"] == first
    rolled_back = found.cycles[2]["fine_tune"]["result"]
    assert (rolled_back["adopted"], rolled_back["reason"]) == (False, "The validation loss rose.")
    again = [chat["messages"] for chat in found.tuner.bodies[third][1:]]
    elites = found.cycles[2]["fine_tune"]["chats"]["elite"]
    assert [chat["messages"] for chat in found.tuner.bodies[second][1:]][:elites] == again[:elites]


def test_a_fine_tune_that_fails_ends_no_search(tmp_path):
    found = learning(tmp_path, (FAILED, ADOPTED, FAILED))
    found.finish()
    assert found.adapters() == [None, None, None, 1, 1]
    assert found.cycles[1]["fine_tune"]["failure"]["reason"] == "out_of_memory"
    assert found.scene.store.read(found.scene.search_id).state is SearchState.SUCCEEDED


def test_what_was_learnt_before_is_replayed_up_to_its_share(tmp_path):
    found = learning(tmp_path, replay=0.5)
    found.finish()
    counts = [one["fine_tune"]["chats"] for one in found.cycles if one["fine_tune"]]
    assert counts[0]["replayed"] == 0
    assert any(count["replayed"] > 0 for count in counts[1:])
    assert all(count["replayed"] <= count["elite"] for count in counts)


def test_after_a_cycle_without_a_new_elite_there_is_nothing_to_learn(tmp_path):
    found = learning(tmp_path, seed=3)  # its second cycle finds no network that is new
    found.finish()
    assert found.adapters() == [None, None, 0, 0, 1]
    assert found.cycles[2]["fine_tune"] is None


def test_a_single_new_elite_is_learnt_from_with_the_next_since_nothing_else_could_judge_the_training(
    tmp_path,
):
    found = Learning(new_scene(tmp_path, **wanted() | {"elites": 1, "seed": 1}), tmp_path)
    found.finish()
    (job,) = (one["fine_tune"] for one in found.cycles if one["fine_tune"])
    assert job["chats"]["elite"] == 2


def test_an_alarm_of_a_collapse_is_shown_alone_unless_the_search_acts_on_alarms(tmp_path):
    found = learning(tmp_path)
    found.finish()
    assert [one["alarm"] for one in found.cycles] == [None] * (CYCLES + 1)


def test_while_few_proposals_are_new_the_model_learns_nothing(tmp_path):
    always = AlarmThresholds(unique_share=2.0, distance_share=0.0)
    found = learning(tmp_path, alarms=always)
    found.finish()
    assert found.tuner.puts == []
    assert found.adapters() == [None] * (CYCLES + 1)
    assert {one["alarm"]["action"] for one in found.cycles[1:CYCLES]} == {"pause_fine_tuning"}


def test_once_proposals_have_been_near_for_long_enough_the_search_goes_an_adapter_back(tmp_path):
    after_two = AlarmThresholds(unique_share=0.0, distance_share=10.0, lasting=2)
    found = learning(tmp_path, alarms=after_two)
    found.finish()
    assert found.adapters() == [None, None, 0, 1, 0]
    assert len(found.tuner.puts) == 2
    alarm = found.cycles[3]["alarm"]
    assert (alarm["measure"], alarm["action"]) == ("mean_distance", "roll_back_adapter")
    search_id, scene = found.scene.search_id, found.scene
    page = render_report(scene.store.document(search_id), found.cycles, scene.candidates.page(search_id)[0])
    assert "went back to the adapter before" in page


def test_every_second_cycle_is_every_second_cycle(tmp_path):
    found = learning(tmp_path, every=2)
    found.finish()
    assert found.adapters() == [None, None, None, 0, 0]


def test_a_search_that_starts_with_an_adapter_goes_on_from_it(tmp_path):
    database = search_scene.new_database(tmp_path)
    search_id = search_scene.accept(database, request(**wanted(), adapter="ft_start"))
    found = Learning(Scene(database, search_id), tmp_path)
    found.finish()
    assert found.asked_with()[1] == {"ft_start"}
    assert found.tuner.bodies[found.tuner.puts[0]][0]["parent_adapter"] == "ft_start"


@pytest.mark.slow
def test_equal_seeds_learn_the_same(tmp_path):
    stories = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found = learning(tmp_path / name)
        found.finish()
        stories.append(found.story())
    assert stories[0] == stories[1]


def test_the_jobs_of_a_search_that_was_cancelled_end_with_it(tmp_path):
    found = learning(tmp_path)
    run = found.scene.run()
    while not run.advance() and run.waits_for is None:
        found.scene.farm.work()
    found.scene.store.cancel(found.scene.search_id)
    database = found.scene.database
    journal, attempts = FineTuneJournal(database), FineTuneAttempts(database, 15)
    Follower(journal, found.tuner, attempts, TrainingHosts(database)).advance()
    (job,) = found.scene.journal.fine_tunes()
    assert job.state == "cancelled"
    assert not found.tuner.puts


def test_the_lineage_of_a_search_that_goes_on_is_in_use(tmp_path):
    found = learning(tmp_path)
    run = found.scene.run()
    while not run.advance():
        found.scene.farm.work()
        if run.waits_for is not None:
            found.learn()
            if len(found.tuner.puts) == 2:
                break
    store = FineTuneStore(found.scene.database)
    for adapter in found.tuner.puts:
        assert found.scene.search_id in store.users_of(adapter)
    found.finish()
    assert store.users_of(found.tuner.puts[0]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "step", "after_commit"),
    [
        (1, 23, False),
        *(
            pytest.param(*cut, marks=pytest.mark.full)
            for cut in [(9, 23, True), (17, 23, False), (20, 60, True)]
        ),
    ],
)
def test_whatever_write_the_power_is_cut_at_the_story_is_the_same(tmp_path, first, step, after_commit):
    (tmp_path / "whole").mkdir()
    whole = learning(tmp_path / "whole")
    whole.finish()
    expected = whole.story()
    at_write, cuts = first, 0
    while True:
        folder = tmp_path / f"{at_write}"
        folder.mkdir()
        found = learning(folder)
        database = search_scene.hurried(CrashingDatabase(url_in(folder), at_write, after_commit))
        cut = Scene(database, found.scene.search_id, found.scene.generator, found.scene.filter)
        try:
            found.finish(cut)
            break
        except PowerCut:
            cuts += 1
            database.close()
        found.finish()
        assert found.story() == expected, f"cut at write {at_write}"
        at_write += step
    assert cuts > 1
