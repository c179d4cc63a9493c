"""With whom a search compares its candidates: its own, the corpus, its tenant's; and nobody else's."""

from dataclasses import replace

import pytest
from cycle_scene import propose_only, slots_of
from fakes import baseline
from search_scene import BASELINES, Scene, new_database, request

from contracts.names import NoveltyLayer, SlotState
from contracts.source_rules import candidate_id
from gateway.domain.novelty import CopyPolicy, NoveltyRules, NoveltyScope
from gateway.infra.corpus_records import CorpusRecords
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.removal import remove_search_step
from gateway.infra.search_store import SearchStore
from gateway.infra.service_clients import ServiceUnavailable
from gateway.infra.tenant_candidates import TenantCandidates

pytestmark = pytest.mark.slow

GROWN = "grown_by_5 = 1\n"
KNOWN = replace(baseline("known"), source=BASELINES[0].source + GROWN)
"""A network of the corpus that a proposal happens to reach."""
AWAY = ServiceUnavailable("filter", "gone")


def scene_with(
    database, scopes=("search",), tenant: str = "local", parts: Scene | None = None, **fields
) -> Scene:
    """A search whose baselines are measured; `parts` is another one of the same farm."""
    policy = CopyPolicy(fields.pop("policy", "reject"))
    rules = NoveltyRules(tuple(map(NoveltyScope, scopes)), policy, fields.pop("threshold", 0.9))
    store = SearchStore(database, EvaluationStore(database))
    with database.write() as session:
        wanted = request(cycles=1, novelty=rules, **fields)
        accepted = store.create(session, tenant, wanted, BASELINES, 10)
    scene = Scene(database, accepted)
    if parts is not None:
        scene.generator, scene.filter, scene.indexes = parts.generator, parts.filter, parts.indexes
    else:
        scene.shipped += (KNOWN,)
    assert not scene.run().advance()
    scene.farm.work()
    return scene


@pytest.fixture
def database(tmp_path):
    return new_database(tmp_path)


def document(scene: Scene, place: int = 0) -> dict:
    return scene.candidates.page(scene.search_id, cycle=1)[0][place]


def of_oak(scene: Scene) -> dict:
    """The first proposal of the cycle that starts from the first baseline."""
    found = scene.candidates.page(scene.search_id, cycle=1)[0]
    return next(one for one in found if one["parent"]["name"] == "oak")


# --- policies ------------------------------------------------------------------------------------------


def test_a_near_copy_is_evaluated_where_copies_are_flagged_and_says_what_it_is_like(database, monkeypatch):
    scene = scene_with(database, policy="flag", threshold=0.5)
    scene.filter.sees_likeness = True
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    found = of_oak(scene)
    assert found["evaluation_id"] is not None
    assert found["duplicate_of"] is None
    assert found["likeness"] == {
        "scope": "search", "layer": "jaccard", "similarity": pytest.approx(8 / 9, abs=0.1), "name": "oak",
        "proposal_id": found["parent"]["proposal_id"], "penalty": 0.0,
    }  # fmt: skip
    assert found["selection_score"] == found["accuracy"]
    whole = scene.candidates.read(scene.search_id, found["proposal_id"])
    assert whole["difference"] == ["-old = 1", "+new = 1"]


def test_a_penalised_copy_is_shown_with_its_accuracy_and_ordered_by_what_selection_sees(
    database, monkeypatch
):
    scene = scene_with(database, policy="penalise", threshold=0.5)
    scene.filter.sees_likeness = True
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    measured = [one for one in scene.candidates.outline(scene.search_id) if one["accuracy"] is not None]
    for one in measured:
        loss = 0.05 if one["likeness"] else 0.0
        assert one["selection_score"] == pytest.approx(one["accuracy"] * (1 - loss))
    assert any(one["likeness"] for one in measured)
    elites = scene.candidates.elites(scene.search_id)
    assert elites == sorted(elites, key=lambda one: -one["selection_score"])
    best = scene.store.document(scene.search_id)["best"]
    assert best["selection_score"] == max(one["selection_score"] for one in measured)


@pytest.mark.parametrize("policy", CopyPolicy)
@pytest.mark.parametrize("scopes", [["search"], ["parent"], ["corpus"], ["tenant"]])
def test_one_program_is_evaluated_once_in_a_search_whatever_its_rules(database, monkeypatch, policy, scopes):
    scene = scene_with(database, scopes, policy=policy)
    propose_only(scene, monkeypatch, "grow 7")
    scene.finish()
    seen = [slot.candidate_id for slot in slots_of(scene) if slot.state is not SlotState.DUPLICATE]
    assert len(seen) == len(set(seen)) == 2
    copies = [one for one in scene.candidates.page(scene.search_id, cycle=1)[0] if one["likeness"]]
    assert {one["state"] for one in copies} == {"duplicate"}
    assert {one["likeness"]["layer"] for one in copies} == {"exact"}
    assert all(one["duplicate_of"].startswith(scene.search_id) for one in copies)


# --- scopes --------------------------------------------------------------------------------------------


def test_with_the_parent_alone_a_candidate_may_be_near_to_others(database, monkeypatch):
    scene = scene_with(database, ["parent"], policy="flag", threshold=0.5)
    scene.filter.sees_likeness = True
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    for slot in slots_of(scene):
        if slot.likeness is not None and slot.likeness.layer is NoveltyLayer.JACCARD:
            assert (slot.likeness.scope, slot.likeness.proposal_id) == (NoveltyScope.PARENT, slot.parent_id)
    assert any(asked.among for asked in scene.filter.asked)


def test_a_network_of_the_corpus_is_recognised_by_name(database, monkeypatch):
    scene = scene_with(database, ["search", "corpus"])
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    found = of_oak(scene)
    assert (found["state"], found["duplicate_of"]) == ("duplicate", None)
    assert found["likeness"]["scope"] == "corpus"
    assert (found["likeness"]["name"], found["likeness"]["proposal_id"]) == ("known", None)


def test_a_network_of_the_corpus_is_trained_where_copies_are_flagged(database, monkeypatch):
    scene = scene_with(database, ["search", "corpus"], policy="flag")
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    found = of_oak(scene)
    assert found["evaluation_id"] is not None
    assert (found["likeness"]["layer"], found["likeness"]["scope"]) == ("exact", "corpus")


def test_the_corpus_is_no_concern_of_a_search_that_does_not_name_it(database, monkeypatch):
    scene = scene_with(database)
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    assert of_oak(scene)["likeness"] is None
    assert set(scene.filter.scopes) == {f"search:{scene.search_id}"}


def test_what_an_earlier_search_of_the_tenant_tried_is_recognised_with_its_place(database, monkeypatch):
    first = scene_with(database)
    propose_only(first, monkeypatch, "grow 6")
    first.finish()
    scene = scene_with(database, ["search", "tenant"], parts=first)
    scene.finish()
    found = of_oak(scene)
    earlier = of_oak(first)
    assert found["state"] == "duplicate"
    assert found["likeness"]["scope"] == "tenant"
    assert found["duplicate_of"] == found["likeness"]["proposal_id"] == earlier["proposal_id"]
    assert found["likeness"]["name"] == earlier["name"]


def test_another_tenants_candidates_are_not_compared_with_nor_named(database, monkeypatch):
    others = scene_with(database, ["search", "tenant"], tenant="blue")
    propose_only(others, monkeypatch, "grow 6")
    others.finish()
    scene = scene_with(database, ["search", "tenant"], tenant="green", parts=others)
    scene.finish()
    assert of_oak(scene)["likeness"] is None
    assert set(scene.filter.scopes["tenant:green"]) == {slot.proposal_id for slot in scene.journal.admitted()}


def test_a_neighbour_that_is_not_the_tenants_is_never_named_and_the_index_is_filled_again(
    database, monkeypatch
):
    others = scene_with(database, tenant="blue")
    scene = scene_with(database, ["tenant"], tenant="green", parts=others)
    propose_only(scene, monkeypatch, "grow 5")
    stranger = others.journal.admitted()[0].proposal_id
    index = scene.indexes.of_tenant("green")
    least = index.ready(lambda _: None).least
    known = scene.filter.scopes["tenant:green"]
    # Another's in the place of one's own: the numbers do not tell.
    known.pop(min(known))
    known[stranger] = BASELINES[0].source + GROWN
    scene.filter.labels[stranger] = "blue's secret"
    scene.finish()
    assert all(slot.likeness is None or stranger not in str(slot.likeness) for slot in slots_of(scene))
    assert stranger not in scene.filter.scopes["tenant:green"]
    assert len(scene.filter.scopes["tenant:green"]) >= least


# --- indexes that forget, that are cut off, that are emptied by others -------------------------------------


@pytest.mark.parametrize("scope", ["corpus", "tenant"])
def test_an_index_that_forgot_is_filled_before_anything_is_called_new(database, monkeypatch, scope):
    first = scene_with(database)
    propose_only(first, monkeypatch, "grow 5")
    first.finish()
    scene = scene_with(database, ["search", scope], parts=first)
    scene.indexes.of_tenant("local").ready(lambda _: None)
    scene.indexes.corpus.ready(lambda _: None)
    for name in [name for name in scene.filter.scopes if not name.startswith("search:")]:
        scene.filter.scopes[name].clear()
    scene.finish()
    assert of_oak(scene)["likeness"]["scope"] == scope


def test_a_tenants_index_with_another_past_is_emptied_and_filled_again(database):
    scene = scene_with(database, ["tenant"])
    scene.filter.scopes["tenant:local"] = {f"stranger {number}": "" for number in range(40)}
    scene.finish()
    told = set(scene.filter.scopes["tenant:local"])
    assert told <= {slot.proposal_id for slot in scene.journal.admitted()}
    candidates = TenantCandidates(database, "local")
    assert len(told) == candidates.told_count()


def test_a_search_that_was_removed_is_no_longer_named(database, monkeypatch):
    first = scene_with(database)
    propose_only(first, monkeypatch, "grow 6")
    first.finish()
    scene = scene_with(database, ["tenant"], parts=first)
    scene.indexes.of_tenant("local").ready(lambda _: None)
    removed = True
    while removed:
        with database.write() as session:
            removed = remove_search_step(session, first.search_id)
    scene.finish()
    assert of_oak(scene)["likeness"] is None
    assert not any(name.startswith(first.search_id) for name in scene.filter.scopes["tenant:local"])


def test_filling_the_corpus_goes_on_where_it_was_cut_off(database, monkeypatch):
    scene = scene_with(database, ["corpus"])
    scene.shipped += tuple(baseline(f"tree-{number:03d}") for number in range(120))
    propose_only(scene, monkeypatch, "grow 5")
    told: list[str] = []
    honest = scene.filter.admit

    def admit(name, admission):
        if admission.scope.startswith("corpus"):
            told.append(name)
            if len(told) == 70:
                raise AWAY
        honest(name, admission)

    monkeypatch.setattr(scene.filter, "admit", admit)
    with pytest.raises(ServiceUnavailable):
        scene.run().advance()
    assert slots_of(scene)[0].state is SlotState.APPLIED
    scene.finish()
    assert told == sorted(told)
    assert len(told) == len(set(told)) + 1 == len(scene.shipped) + 1


def test_filling_the_corpus_stops_for_a_search_that_is_paused_and_is_told_of(database):
    scene = scene_with(database, ["corpus"])
    scene.shipped += tuple(baseline(f"tree-{number:03d}") for number in range(120))
    told: list[str] = []

    def progress(what: str) -> None:
        told.append(what)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        scene.indexes.corpus.ready(progress)
    assert told == [f"the novelty filter, which takes in the corpus: 50 of {len(scene.shipped)}"]


def test_a_network_that_the_filter_cannot_read_leaves_the_others_comparable(database):
    scene = scene_with(database, ["corpus"])
    first, *_ = names = sorted(f"corpus-{candidate_id(one.source)}" for one in scene.shipped)
    scene.filter.unreadable = {first}
    again = Scene(database, scene.search_id, filter=scene.filter, shipped=scene.shipped)
    for indexes in (scene.indexes, again.indexes):
        scope, least = indexes.corpus.ready(lambda _: None)
        assert sorted(scene.filter.scopes[scope]) == names[1:]
        assert least == len(names) - 1


def test_another_corpus_takes_the_place_of_the_old_one(database):
    scene = scene_with(database, ["corpus"])
    before = scene.indexes.corpus.ready(lambda _: None).scope
    scene.shipped += (baseline("ash"),)
    after = scene.indexes.corpus.ready(lambda _: None).scope
    assert before != after
    assert before not in scene.filter.scopes
    assert CorpusRecords(database).index_in_use() == after


def test_an_index_that_is_emptied_while_it_is_asked_is_asked_again(database, monkeypatch):
    scene = scene_with(database, ["corpus"])
    propose_only(scene, monkeypatch, "grow 5")
    honest, emptied = scene.filter.screen, []

    def screen(asked):
        if asked.scope.startswith("corpus") and not emptied:
            emptied.append(asked.scope)
            scene.filter.forget(asked.scope)
        return honest(asked)

    monkeypatch.setattr(scene.filter, "screen", screen)
    scene.finish()
    assert emptied
    assert of_oak(scene)["likeness"]["scope"] == "corpus"


def test_an_index_that_is_emptied_again_and_again_makes_nothing_new(database, monkeypatch):
    scene = scene_with(database, ["corpus"])
    propose_only(scene, monkeypatch, "grow 5")
    honest = scene.filter.screen

    def screen(asked):
        if asked.scope.startswith("corpus"):
            scene.filter.forget(asked.scope)
        return honest(asked)

    monkeypatch.setattr(scene.filter, "screen", screen)
    with pytest.raises(ServiceUnavailable, match="corpus"):
        scene.run().advance()
    assert slots_of(scene)[0].state is SlotState.APPLIED
