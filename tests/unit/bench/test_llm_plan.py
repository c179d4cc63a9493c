import pytest
from llm.plan import Plan, PlanInvalid, SearchArm, ShareArm, search_request, share_request

from gateway.schemas.fine_tune_body import FineTuneBody
from gateway.schemas.search_body import SearchBody
from generator_svc.proposers.language_model.options import read_options

BASELINES = ["plain-cnn", "residual"]


def shares(plan=None, adapter="ft_1"):
    return {arm: share_request(plan or Plan(), arm, "qwen", BASELINES, adapter) for arm in ShareArm}


def searches(seed=0, plan=None, adapter="ft_1"):
    plan = plan or Plan()
    return {arm: search_request(plan, arm, seed, "qwen", BASELINES, adapter) for arm in SearchArm}


def test_every_request_of_the_usual_plan_is_one_that_the_product_takes():
    requests = [*shares().values(), *searches().values()]
    for request in requests:
        body = SearchBody.model_validate(request)
        if body.proposer.kind == "local_llm":
            read_options(body.proposer.options, has_endpoints=False)
    plan = Plan()
    FineTuneBody.model_validate({"model": "qwen", **plan.fine_tune, "training_pairs": plan.pairs})
    assert len(requests) == len(ShareArm) + len(SearchArm)


def test_the_usual_plan_is_as_large_as_the_evidence_asks():
    made = shares()
    assert made[ShareArm.DELTA_BEFORE]["candidates_per_cycle"] >= 100
    assert made[ShareArm.DELTA_AFTER]["candidates_per_cycle"] >= 100
    assert made[ShareArm.SOURCE_BEFORE]["candidates_per_cycle"] >= 40
    assert {request["cycles"] for request in made.values()} == {1}
    assert Plan().cycles == 4


def test_only_the_arms_after_learning_have_the_adapter():
    assert {arm: request["adapter"] for arm, request in shares().items()} == {
        ShareArm.DELTA_BEFORE: None,
        ShareArm.DELTA_AFTER: "ft_1",
        ShareArm.SOURCE_BEFORE: None,
        ShareArm.SOURCE_AFTER: "ft_1",
    }


def test_arms_of_a_search_share_baselines_seed_and_the_number_of_proposals():
    made = searches(seed=7)
    common = [
        (
            tuple(one["baselines"]),
            one["seed"],
            one["cycles"] * one["candidates_per_cycle"],
            one["train_images"],
        )
        for one in made.values()
    ]
    assert len(set(common)) == 1
    assert made[SearchArm.BEST_OF_N]["cycles"] == 1
    assert made[SearchArm.MEMORY]["feedback"] == {"window": 5}
    assert [arm for arm, one in made.items() if "fine_tune" in one] == [SearchArm.FINE_TUNING]
    assert made[SearchArm.MUTATION]["adapter"] is None
    assert {made[arm]["adapter"] for arm in SearchArm if arm is not SearchArm.MUTATION} == {"ft_1"}


def test_a_name_is_that_of_its_request_alone():
    assert shares() == shares()
    names = {one["name"] for made in (searches(0), searches(1), shares()) for one in made.values()}
    assert len(names) == 2 * len(SearchArm) + len(ShareArm)
    other = shares(Plan().changed({"temperature": 0.7}))
    assert not {one["name"] for one in other.values()} & names


def test_a_plan_takes_what_is_given_and_refuses_what_it_does_not_know():
    plan = Plan().changed({"delta_proposals": 4, "search_seeds": [3], "temperature": 1})
    assert (plan.delta_proposals, plan.search_seeds, plan.temperature) == (4, (3,), 1)
    for wrong, word in (
        ({"proposals": 4}, "proposals"),
        ({"cycles": "4"}, "cycles"),
        ({"cycles": 0}, "cycles"),
        ({"search_seeds": [1, 1]}, "search_seeds"),
        ({"start_tuned": 1}, "start_tuned"),
        ({"share_arms": ["delta_later"]}, "share_arms"),
        ({"share_arms": []}, "share_arms"),
        ({"fine_tune": {"preset": "cpu", "rank": 4}}, "rank"),
    ):
        with pytest.raises(PlanInvalid, match=word):
            Plan().changed(wrong)
