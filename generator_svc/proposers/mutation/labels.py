"""Short names of places in a source, for summaries that people read."""

import libcst as cst

from generator_svc.proposers.mutation.subject import Subject

MAX_LABEL = 40


def label_of(subject: Subject, node: cst.CSTNode) -> str:
    """`conv2`, `ResidualBlock.conv2`, `forward`: the nearest named thing around `node`."""
    name = _nearest_name(subject, node) or "module"
    owner = subject.enclosing(node, cst.ClassDef)
    if owner is not None and owner.name.value != "Net":
        name = f"{owner.name.value}.{name}"
    return name[:MAX_LABEL]


def _nearest_name(subject: Subject, node: cst.CSTNode) -> str | None:
    for above in subject.ancestors(node):
        if isinstance(above, cst.Assign):
            return subject.code(above.targets[0].target).removeprefix("self.")
        if isinstance(above, cst.AnnAssign):
            return subject.code(above.target).removeprefix("self.")
        if isinstance(above, cst.Param | cst.FunctionDef):
            return above.name.value
    return None
