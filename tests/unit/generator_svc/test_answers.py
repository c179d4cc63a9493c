"""Deployment limits are enforced on what comes of an answer, whichever form it has."""

from dataclasses import replace

import pytest
from mutation_sources import BLOCKS
from sample_networks import LEARNS_BY_ITSELF

from contracts.proposals import AnswerForm, DataShape, DeploymentLimits
from contracts.source_rules import check_source
from generator_svc.answers import AnswerRules, apply_answer
from generator_svc.deltas import canonical_delta
from generator_svc.deployment_costs import STANDARD_INPUTS, DeploymentCosts, deployment_costs
from generator_svc.prompts.words import words_of
from generator_svc.seeds import baseline_networks

PLAIN = baseline_networks()["plain-cnn"].source
WIDER = PLAIN.replace("64", "80")


def answer_of(form, target, baseline=PLAIN):
    return canonical_delta(baseline, target) if form is AnswerForm.DELTA else f"```python\n{target}```"


def applied_under(limits, form=AnswerForm.DELTA, target=WIDER, dataset="cifar-10"):
    return apply_answer(PLAIN, answer_of(form, target), AnswerRules(form, deployment=limits, dataset=dataset))


@pytest.mark.parametrize("form", AnswerForm)
def test_a_forbidden_operator_is_refused_with_its_line(form):
    limits = DeploymentLimits(forbidden_operators=("Softmax", "gelu"))
    target = PLAIN.replace("F.relu(self.hidden(x))", "F.gelu(self.hidden(x))")
    refused = applied_under(limits, form, target)
    assert (refused.status, refused.reason) == ("refused", "forbidden_operator")
    assert "line 27 of the result uses `gelu`" in refused.message
    assert (refused.source, refused.canonical_delta, refused.confidence) == (None, None, 0.0)
    assert applied_under(limits, form).source == WIDER


@pytest.mark.parametrize("form", AnswerForm)
def test_costs_that_are_proven_to_be_too_high_are_refused_with_both_numbers(form):
    costs = deployment_costs(check_source(WIDER), "cifar-10")
    refused = applied_under(DeploymentLimits(max_parameters=costs.parameters - 1), form)
    assert refused.reason == "too_many_parameters"
    assert f"{costs.parameters:,}" in refused.message
    assert f"{costs.parameters - 1:,}" in refused.message
    assert applied_under(DeploymentLimits(max_flops=costs.flops - 1), form).reason == "too_many_flops"
    kept = DeploymentLimits(max_parameters=costs.parameters, max_flops=costs.flops)
    assert applied_under(kept, form).source == WIDER


def test_costs_that_nothing_proves_refuse_nothing():
    limits = DeploymentLimits(max_parameters=1, max_flops=1)
    for dataset in (None, "my-own"):
        assert applied_under(limits, dataset=dataset).source == WIDER
    unknown = WIDER.replace("nn.MaxPool2d(2)", "some_pool(2)")
    assert applied_under(limits, target=unknown).source == unknown


def test_a_refused_answer_stays_refused_for_its_first_reason():
    limits = DeploymentLimits(forbidden_operators=("Conv2d",))
    assert apply_answer(PLAIN, "prose", AnswerRules(deployment=limits)).reason == "no_diff_found"


@pytest.mark.parametrize(
    ("name", "parameters", "flops"),
    [
        ("plain-cnn", 186_986, 18_508_288),
        ("vgg-small", 207_362, 33_278_464),
        ("residual", 174_274, 13_899_648),
        ("depthwise-separable", 31_946, 5_007_872),
        ("inception-small", 39_226, 9_243_136),
        ("conv-mixer", 42_442, 6_821_760),
        ("lemur-cnn", 83_626, None),
        ("lemur-residual", 174_562, None),
    ],
)
def test_the_costs_are_those_that_torch_counts(name, parameters, flops):
    costs = deployment_costs(check_source(baseline_networks()[name].source), "cifar-10")
    assert (costs.parameters, costs.flops) == (parameters, flops)


def test_what_is_not_a_layer_is_not_counted_and_never_too_much():
    """torch counts 90,346 parameters and 17,630,464 operations: a class token, and attention."""
    costs = deployment_costs(check_source(baseline_networks()["patch-transformer"].source), "cifar-10")
    assert 0.9 * 90_346 < costs.parameters <= 90_346
    assert 0.8 * 17_630_464 < costs.flops <= 17_630_464


def test_parameters_that_depend_on_the_size_of_images_are_not_proven_where_a_transform_makes_it():
    costs = deployment_costs(check_source(LEARNS_BY_ITSELF), "mnist")
    assert (costs.parameters, costs.flops) == (None, None)


def test_layers_count_once_and_only_where_they_belong_to_the_network():
    once = deployment_costs(check_source(BLOCKS), "mnist").parameters
    shared = BLOCKS.replace(
        "super().__init__()", "super().__init__()\n        unused = nn.Linear(1000, 1000)"
    )
    assert deployment_costs(check_source(shared), "mnist").parameters == once


@pytest.mark.parametrize(
    "layer",
    [
        "nn.LayerNorm([[1]])",
        "nn.Conv2d(3, 3, ([], []))",
        "nn.TransformerEncoder([], 2)",
        "nn.TransformerEncoderLayer(8, 2, float('inf'))",
        "nn.Linear('a', 'b')",
        "deep",
    ],
)
def test_layers_that_make_no_sense_prove_nothing_and_break_nothing(layer):
    lines = (
        "deep = None",
        "for _ in range(900):",
        "    deep = nn.TransformerEncoder(deep, 2)",
        f"self.odd = {layer}",
    )
    source = PLAIN.replace("self.pool =", "\n        ".join((*lines, "self.pool =")))
    costs = deployment_costs(check_source(source), "cifar-10")
    assert costs.parameters in {None, 186_986}


def test_thousands_of_layers_from_one_line_are_counted_in_no_time():
    many = "nn.ModuleList([nn.Linear(10, 10) for _ in range(1000)])"
    source = PLAIN.replace("self.pool =", f"self.many = {many}\n        self.pool =")
    applied = "\n        ".join(("x = self.head(x)", "for one in self.many:", "    x = one(x)", "return x"))
    source = source.replace("return self.head(self.dropout(x))", applied)
    costs = deployment_costs(check_source(source), "cifar-10")
    assert (costs.parameters, costs.flops) == (186_986 + 110_000, 18_508_288 + 200_000)


def test_the_standard_data_sets_are_those_that_prompts_describe():
    assert set(STANDARD_INPUTS) == set(words_of("delta_v2")["datasets"])
    for name, shape in STANDARD_INPUTS.items():
        described = words_of("delta_v2")["datasets"][name]
        assert f"{shape.channels} × {shape.height} × {shape.width}, {shape.classes} classes" in described


def test_costs_are_counted_for_data_of_any_shape():
    checked = check_source(baseline_networks()["plain-cnn"].source)
    known = deployment_costs(checked, "cifar-10")
    assert None not in (known.parameters, known.flops)
    assert deployment_costs(checked, "mine", STANDARD_INPUTS["cifar-10"]) == known
    grey = deployment_costs(checked, "mine", DataShape(1, 32, 32, 2))
    assert 0 < (grey.parameters or 0) < (known.parameters or 0)
    assert deployment_costs(checked, "mine") == DeploymentCosts()


def test_an_answer_is_held_to_the_costs_that_it_has_on_data_of_ones_own():
    answer = answer_of(AnswerForm.DELTA, WIDER)
    limits = DeploymentLimits(max_parameters=1)
    rules = AnswerRules(deployment=limits, dataset="mine", data_shape=DataShape(3, 24, 24, 4))
    assert apply_answer(PLAIN, answer, rules).reason == "too_many_parameters"
    assert apply_answer(PLAIN, answer, replace(rules, data_shape=None)).status == "applied"
