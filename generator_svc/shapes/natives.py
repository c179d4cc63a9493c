"""What modules, lists, dictionaries and calls do by themselves, without running more of the source."""

from collections.abc import Mapping, Sequence

from generator_svc.shapes import arithmetic
from generator_svc.shapes.tensor_functions import call_tensor_function
from generator_svc.shapes.values import (
    UNKNOWN,
    Function,
    Inconsistent,
    Instance,
    Int,
    Layer,
    Method,
    Scope,
    Span,
    Symbol,
    Tensor,
    Undecided,
    Value,
)

MODULE_METHODS = frozenset(
    {
        "add_module",
        "append",
        "apply",
        "buffers",
        "children",
        "cpu",
        "cuda",
        "double",
        "eval",
        "extend",
        "extra_repr",
        "float",
        "forward",
        "get_parameter",
        "half",
        "insert",
        "modules",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_buffer",
        "register_module",
        "register_parameter",
        "requires_grad_",
        "state_dict",
        "load_state_dict",
        "to",
        "train",
        "type",
        "zero_grad",
        "compile",
    }
)


def bind_parameters(
    function: Function, args: Sequence[Value], keywords: Mapping[str, Value], scope: Scope
) -> None:
    """Put the arguments of a call into a function's scope. Raises Inconsistent as a wrong call would."""
    arguments = function.node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    bound = dict(zip(names[len(names) - len(function.defaults) :], function.defaults, strict=True))
    bound.update(function.keyword_defaults)
    bound.update(zip(names, args, strict=False))
    if len(args) > len(names) and arguments.vararg is None:
        raise Inconsistent(f"a call with {len(args)} arguments for {len(names)}")
    if arguments.vararg is not None:
        bound[arguments.vararg.arg] = tuple(args[len(names) :])
    allowed = {*names, *(argument.arg for argument in arguments.kwonlyargs)}
    extra = {name: value for name, value in keywords.items() if name not in allowed}
    if extra and arguments.kwarg is None:
        raise Inconsistent(f"a call with an unknown argument {next(iter(extra))}")
    bound.update({name: value for name, value in keywords.items() if name in allowed})
    if arguments.kwarg is not None:
        bound[arguments.kwarg.arg] = extra
    missing = allowed - bound.keys()
    if missing:
        raise Inconsistent(f"a call without the argument {min(missing)}")
    scope.names.update(bound)


def make_container(name: str, args: Sequence[Value], span: Span) -> Layer:
    """`nn.Sequential`, `nn.ModuleList` or `nn.ModuleDict` with its modules."""
    container = Layer(name, {}, span)
    if name == "Sequential":
        container.children.extend(children_of(args))
    elif args and isinstance(args[0], dict):
        container.named.update(args[0])
        container.children.extend(args[0].values())
    elif args:
        container.children.extend(arithmetic.items(args[0]))
    return container


def children_of(args: Sequence[Value]) -> list[Value]:
    """The modules given to a Sequential, one by one or as an ordered dictionary."""
    return list(args[0].values()) if len(args) == 1 and isinstance(args[0], dict) else list(args)


def is_instance(value: Value, kind: Value) -> Value:
    """`isinstance(value, kind)`; UNKNOWN where the run cannot tell."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, Layer):
        return Symbol(f"torch.nn.{value.kind}") in kinds
    if isinstance(value, Instance):
        return value.kind in kinds
    names = {"int": int, "float": float, "list": list, "tuple": tuple, "dict": dict, "str": str}
    if value is UNKNOWN or isinstance(value, Tensor | Symbol):
        return UNKNOWN
    wanted = [names.get(one.path.removeprefix("builtins.")) for one in kinds if isinstance(one, Symbol)]
    return any(one is not None and isinstance(value, one) for one in wanted)


def has_attribute(value: Value, name: Value) -> Value:
    """`hasattr(value, name)` for instances of the source's classes; UNKNOWN for the rest."""
    if not isinstance(value, Instance) or not isinstance(name, str):
        return UNKNOWN
    return name in value.attributes or name in MODULE_METHODS or value.kind.member(name) is not UNKNOWN


def tensor_attribute(value: Tensor, name: str) -> Value:
    """`tensor.name`."""
    if name == "shape":
        return value.shape
    if name == "ndim":
        return Int(len(value.shape))
    if name == "T":
        return call_tensor_function("t", value, [], {})
    return UNKNOWN if name in {"device", "dtype", "grad", "requires_grad"} else Method(value, name)


def call_module_method(receiver: Instance | Layer, name: str, args: Sequence[Value]) -> Value:
    """A method that torch.nn.Module or a container brings."""
    container = receiver if isinstance(receiver, Layer) else receiver.container
    if name in {"to", "cuda", "cpu", "train", "eval", "apply", "requires_grad_", "float", "half"}:
        return receiver
    if name in {"register_buffer", "register_parameter", "add_module", "register_module"} and len(args) > 1:
        if isinstance(receiver, Instance) and isinstance(args[0], str):
            receiver.attributes[args[0]] = args[1]
        if container is not None and "module" in name:
            container.children.append(args[1])
        return None
    if container is not None and name == "append" and args:
        container.children.append(args[0])
        return container
    if container is not None and name == "extend" and args:
        container.children.extend(arithmetic.items(args[0]))
        return container
    if container is not None and name == "insert" and len(args) == 2 and isinstance(args[0], int):
        container.children.insert(args[0], args[1])
        return None
    if isinstance(receiver, Layer) and name in {"values", "children"}:
        return list(receiver.children)
    if isinstance(receiver, Layer) and name in {"items", "named_children"}:
        return list(receiver.named.items())
    # Walks over all modules initialise weights; they do not change shapes.
    return [] if name in {"modules", "parameters", "named_modules", "named_parameters"} else UNKNOWN


def call_collection_method(
    receiver: list[Value] | dict[Value, Value], name: str, args: Sequence[Value]
) -> Value:
    """A method of a list or a dictionary. Raises Undecided for those not followed."""
    if isinstance(receiver, dict):
        if name in {"items", "keys", "values"}:
            return [tuple(pair) if name == "items" else pair for pair in getattr(receiver, name)()]
        if name == "get" and args and isinstance(args[0], str | int):
            return receiver.get(args[0], args[1] if len(args) > 1 else None)
        if name == "update" and args and isinstance(args[0], dict):
            receiver.update(args[0])
            return None
        raise Undecided(f"the method {name} of a dictionary")
    if name == "append" and len(args) == 1:
        receiver.append(args[0])
    elif name == "extend" and len(args) == 1:
        receiver.extend(arithmetic.items(args[0]))
    elif name == "insert" and len(args) == 2 and isinstance(args[0], int):
        receiver.insert(args[0], args[1])
    elif name == "pop" and receiver and (not args or args[0] in {0, -1}):
        return receiver.pop(*args)
    else:
        raise Undecided(f"the method {name} of a list")
    arithmetic.items(receiver)
    return None
