"""Short names of places in a source, for summaries that people read."""

import libcst as cst

from generator_svc.proposers.mutation.subject import Subject

MAX_LABEL = 40


def label_of(subject: Subject, node: cst.CSTNode) -> str:
    """`conv2`, `ResidualBlock.conv2`, `forward`, `line 12`: the nearest named thing around `node`."""
    name = _nearest_name(subject, node) or f"line {subject.span_of(node)[0]}"
    owner = subject.enclosing(node, cst.ClassDef)
    if owner is not None and owner.name.value != "Net":
        name = f"{owner.name.value}.{name}"
    return name[:MAX_LABEL]


def _nearest_name(subject: Subject, node: cst.CSTNode) -> str | None:
    """What is assigned; in forward, which assigns mere variables, forward itself; no constructor."""
    for above in subject.ancestors(node):
        if isinstance(above, cst.Assign | cst.AnnAssign):
            target = above.target if isinstance(above, cst.AnnAssign) else above.targets[0].target
            function = subject.enclosing(above, cst.FunctionDef)
            in_forward = function is not None and function.name.value == "forward"
            return "forward" if in_forward else subject.code(target).removeprefix("self.")
        if isinstance(above, cst.Param):
            return above.name.value
        if isinstance(above, cst.FunctionDef):
            return None if above.name.value == "__init__" else above.name.value
    return None
