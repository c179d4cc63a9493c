"""What every route refuses in the same words: texts that are too large, fields that cannot be served."""

from typing import Any, NoReturn

from contracts.deployment import MAX_FORBIDDEN_OPERATORS, OPERATOR_NAME
from contracts.names import MAX_SOURCE_BYTES
from contracts.problems import problem
from contracts.proposals import DeploymentLimits, EditPermissions, ProposalRequest, ProposalSlot

MAX_SEED = 2**63 - 1
MAX_REGIONS = 64
MAX_REGION_CHARACTERS = 250
MAX_SLOTS = 8
MAX_TRIES = 20
"""Of one slot's history."""
MAX_COST = 2**53
"""Parameters or operations: beyond it, numbers in JSON are no longer exact."""
MAX_NAME_CHARACTERS = 200
"""Of a data set or an adapter."""


class Refused(Exception):
    """A well-formed request asks for something impossible. Carries its problem document."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


def refuse_field(field: str, message: str, value: object, remedy: str = "Correct this field.") -> NoReturn:
    """Raise Refused: 422, with the field at fault."""
    raise Refused(
        problem(422, "invalid_request", f"{field}: {message}", field=field, value=value, remedy=remedy)
    )


def check_size(field: str, text: str, limit: int) -> None:
    """Raise Refused for a text of more than `limit` bytes."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        refuse_field(field, f"has {size} bytes; at most {limit} are allowed", None)


def check_edits(edits: EditPermissions) -> None:
    """Raise Refused for more regions than anybody names, or longer ones."""
    for field, regions in (("edits.only", edits.only), ("edits.never", edits.never)):
        if len(regions) > MAX_REGIONS:
            refuse_field(field, f"names {len(regions)} regions; at most {MAX_REGIONS} are allowed", None)
        for index, region in enumerate(regions):
            if len(region) > MAX_REGION_CHARACTERS:
                refuse_field(f"{field}.{index}", f"has more than {MAX_REGION_CHARACTERS} characters", None)


def check_deployment(limits: DeploymentLimits) -> None:
    """Raise Refused for what cannot be an operator's name, and for limits that nothing could keep."""
    operators = limits.forbidden_operators
    if len(operators) > MAX_FORBIDDEN_OPERATORS:
        refuse_field(
            "deployment.forbidden_operators",
            f"names {len(operators)} operators; at most {MAX_FORBIDDEN_OPERATORS} are allowed",
            None,
        )
    for index, name in enumerate(operators):
        if not OPERATOR_NAME.fullmatch(name):
            refuse_field(
                f"deployment.forbidden_operators.{index}",
                "is not the name of an operator",
                name,
                "Write the name as it stands after the last dot: `Conv3d`, `softmax`.",
            )
    for field, limit in (("max_parameters", limits.max_parameters), ("max_flops", limits.max_flops)):
        if limit is not None and not 1 <= limit <= MAX_COST:
            refuse_field(f"deployment.{field}", f"must lie between 1 and {MAX_COST}", str(limit)[:40])


def check_proposal_request(request: ProposalRequest) -> None:
    """Raise Refused for what no proposer could be asked; its options are the proposer's to check."""
    if len(request.slots) > MAX_SLOTS:
        refuse_field("slots", f"must hold at most {MAX_SLOTS} slots", len(request.slots))
    if len({slot.slot for slot in request.slots}) != len(request.slots):
        refuse_field("slots", "two slots have the same number", None)
    check_edits(request.edits)
    check_deployment(request.deployment)
    if request.cycle < 0:
        refuse_field("cycle", "must be at least 0", request.cycle)
    for field, name in (("dataset", request.dataset), ("adapter", request.adapter or "")):
        if len(name) > MAX_NAME_CHARACTERS:
            refuse_field(field, f"has more than {MAX_NAME_CHARACTERS} characters", None)
    for index, slot in enumerate(request.slots):
        _check_slot(f"slots.{index}", slot)


def _check_slot(field: str, slot: ProposalSlot) -> None:
    if slot.slot < 0:
        refuse_field(f"{field}.slot", "must be at least 0", slot.slot)
    if not 0 <= slot.seed <= MAX_SEED:
        refuse_field(f"{field}.seed", f"must lie between 0 and {MAX_SEED}", str(slot.seed))
    check_size(f"{field}.baseline_source", slot.baseline_source, MAX_SOURCE_BYTES)
    if slot.baseline_accuracy is not None and not 0 <= slot.baseline_accuracy <= 1:
        refuse_field(f"{field}.baseline_accuracy", "must lie between 0 and 1", slot.baseline_accuracy)
    if len(slot.history) > MAX_TRIES:
        refuse_field(
            f"{field}.history", f"holds {len(slot.history)} tries; at most {MAX_TRIES} are allowed", None
        )
