"""Changes how a LEMUR network trains itself: optimizer, step size, regularisation, schedule, augmentation.

These lines have no shapes, so nothing is proven about them: every edit is one that torch accepts.
"""

import random
from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from contracts.names import SourceContract
from generator_svc.proposers.mutation.calls import joined_arguments, keyword_argument
from generator_svc.proposers.mutation.modules import statement
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.subject import Subject, dotted_name

_LR_FACTORS = (0.3, 0.5, 0.7, 1.4, 2.0, 3.0)
_DECAYS = ("0.0", "1e-4", "5e-4", "2e-3", "0.01", "0.02", "0.05")
_SMOOTHINGS = ("0.0", "0.02", "0.05", "0.1", "0.15")
_MOMENTA = ("0.8", "0.85", "0.9", "0.95")
_CLIPS = ("0.5", "1.0", "2.0", "5.0")
_OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "NAdam")
_SGD_TO_ADAPTIVE = "0.05"
"""A usual ratio between the step sizes of the two families; the search finds a better one."""


def training_sites(subject: Subject) -> Sequence[Site]:
    """What `train_setup` and `learn` offer; nothing in a plain module."""
    if subject.contract != SourceContract.LEMUR:
        return []
    sites: list[Site] = []
    for call in _calls(subject):
        name = dotted_name(call.func).rpartition(".")[2]
        if name in _OPTIMIZERS and ".optim" in f".{dotted_name(call.func)}":
            sites += [partial(_swap_optimizer, subject, call)]
            sites += [partial(_scale_step, subject, call), partial(_set_decay, subject, call)]
            if _has(call, "momentum"):
                sites.append(partial(_set, subject, call, "momentum", _MOMENTA, "momentum"))
        elif name == "CrossEntropyLoss":
            sites.append(partial(_set, subject, call, "label_smoothing", _SMOOTHINGS, "label smoothing"))
        elif name == "clip_grad_norm_" and len(call.args) == 2:
            sites.append(partial(_set_clip, subject, call))
        elif name == "backward" and not any("clip_grad" in subject.code(n.func) for n in _calls(subject)):
            sites.append(partial(_clip_gradients, subject, call))
    loop = _training_loop(subject)
    if loop is not None:
        sites += [partial(_flip_images, subject, loop), partial(_schedule, subject, loop)]
    return sites


def _calls(subject: Subject) -> Iterator[cst.Call]:
    """Calls inside `train_setup` and `learn`, innermost function first."""
    for node in subject.nodes(cst.Call):
        function = subject.enclosing(node, cst.FunctionDef)
        if function is not None and function.name.value in {"train_setup", "learn"}:
            yield node


def _has(call: cst.Call, name: str) -> bool:
    return any(argument.keyword is not None and argument.keyword.value == name for argument in call.args)


def _keyword(call: cst.Call, name: str) -> cst.Arg | None:
    return next((arg for arg in call.args if arg.keyword is not None and arg.keyword.value == name), None)


def _with_keyword(call: cst.Call, name: str, text: str) -> cst.Call:
    old = _keyword(call, name)
    if old is not None:
        changed = old.with_changes(value=cst.parse_expression(text))
        return call.with_changes(args=[changed if argument is old else argument for argument in call.args])
    return call.with_changes(args=joined_arguments([*call.args, keyword_argument(name, text)]))


def _set(
    subject: Subject, call: cst.Call, name: str, choices: Sequence[str], what: str, rng: random.Random
) -> Change | None:
    old = _keyword(call, name)
    before = "default" if old is None else subject.code(old.value)
    text = rng.choice([choice for choice in choices if choice != before])
    return Change(subject.rewrite({call: _with_keyword(call, name, text)}), f"{what} {before} → {text}")


def _set_decay(subject: Subject, call: cst.Call, rng: random.Random) -> Change | None:
    return _set(subject, call, "weight_decay", _DECAYS, "weight decay", rng)


def _scale_step(subject: Subject, call: cst.Call, rng: random.Random) -> Change | None:
    """`lr=prm["lr"]` times a factor; a factor that is there already is replaced."""
    old = _keyword(call, "lr")
    if old is None:
        return None
    factor = rng.choice(_LR_FACTORS)
    base = old.value
    if isinstance(base, cst.BinaryOperation) and isinstance(base.operator, cst.Multiply):
        if isinstance(base.right, cst.Float):
            factor *= float(base.right.value)
            base = base.left
        else:
            return None
    text = f"{subject.code(base)} * {factor:.3g}"
    return Change(subject.rewrite({call: _with_keyword(call, "lr", text)}), f"step size × {factor:.3g}")


def _swap_optimizer(subject: Subject, call: cst.Call, rng: random.Random) -> Change | None:
    path, _, old = dotted_name(call.func).rpartition(".")
    step = _keyword(call, "lr")
    if step is None or not call.args or call.args[0].keyword is not None:
        return None
    new = rng.choice([name for name in _OPTIMIZERS if name != old])
    text = subject.code(step.value)
    if (old == "SGD") != (new == "SGD"):
        base = text if isinstance(step.value, cst.Subscript | cst.Name | cst.Float) else f"({text})"
        text = f"{base} * {_SGD_TO_ADAPTIVE}" if old == "SGD" else f"{base} * 20.0"
    arguments = [call.args[0], keyword_argument("lr", text)]
    decay = _keyword(call, "weight_decay")
    if decay is not None:
        arguments.append(keyword_argument("weight_decay", subject.code(decay.value)))
    if new == "SGD":
        arguments += [keyword_argument("momentum", "0.9"), keyword_argument("nesterov", "True")]
    changed = cst.Call(cst.parse_expression(f"{path}.{new}"), joined_arguments(arguments))
    return Change(subject.rewrite({call: changed}), f"optimizer {old} → {new}")


def _set_clip(subject: Subject, call: cst.Call, rng: random.Random) -> Change:
    limit = call.args[1]
    text = rng.choice([clip for clip in _CLIPS if clip != subject.code(limit.value)])
    changed = limit.with_changes(value=cst.parse_expression(text))
    before = subject.code(limit.value)
    return Change(subject.rewrite({limit: changed}), f"gradient clipping {before} → {text}")


def _clip_gradients(subject: Subject, call: cst.Call, rng: random.Random) -> Change | None:
    line, path = subject.enclosing(call, cst.SimpleStatementLine), subject.library_path("torch.nn")
    if line is None or path is None:
        return None
    limit = rng.choice(_CLIPS)
    added = statement(f"{path}.utils.clip_grad_norm_(self.parameters(), {limit})")
    return Change(subject.rewrite({line: [line, added]}), f"gradients clipped at {limit}")


def _training_loop(subject: Subject) -> cst.For | None:
    """`for images, labels in train_data:` in `learn`."""
    for loop in subject.nodes(cst.For):
        function = subject.enclosing(loop, cst.FunctionDef)
        names = loop.target.elements if isinstance(loop.target, cst.Tuple) else ()
        in_learn = function is not None and function.name.value == "learn"
        if (
            in_learn
            and len(names) == 2
            and isinstance(loop.iter, cst.Name)
            and isinstance(loop.body, cst.IndentedBlock)
        ):
            return loop
    return None


def _flip_images(subject: Subject, loop: cst.For, _rng: random.Random) -> Change | None:
    """Each image mirrored or not, by a coin, before the loop's own statements."""
    path = subject.library_path("torch")
    target = loop.target
    if path is None or ".flip(" in subject.source or not isinstance(target, cst.Tuple):
        return None
    images = subject.code(target.elements[0].value)
    coin = f"{path}.rand({images}.shape[0], 1, 1, 1, device={images}.device) < 0.5"
    added = statement(f"{images} = {path}.where({coin}, {images}.flip(-1), {images})")
    body = loop.body.with_changes(body=[added, *loop.body.body])
    return Change(subject.rewrite({loop.body: body}), "random mirroring while training")


def _schedule(subject: Subject, loop: cst.For, rng: random.Random) -> Change | None:
    """A falling step size over the epoch, where the loop steps one optimizer and nothing schedules it yet."""
    path = subject.library_path("torch")
    steps = [
        line
        for line in loop.body.body
        if isinstance(line, cst.SimpleStatementLine) and subject.code(line) == "self.optimizer.step()"
    ]
    if path is None or "scheduler" in subject.source or len(steps) != 1:
        return None
    data = subject.code(loop.iter)
    kind, arguments = rng.choice(
        [
            ("CosineAnnealingLR", f"T_max=len({data})"),
            ("LinearLR", f"start_factor=1.0, end_factor=0.05, total_iters=len({data})"),
        ]
    )
    created = statement(f"scheduler = {path}.optim.lr_scheduler.{kind}(self.optimizer, {arguments})")
    body = [
        one
        for line in loop.body.body
        for one in ([line, statement("scheduler.step()")] if line is steps[0] else [line])
    ]
    changed = loop.with_changes(body=loop.body.with_changes(body=body))
    return Change(subject.rewrite({loop: [created, changed]}), f"{kind} added")
