"""Calls, attributes and modules of a symbolic run: what Python and torch.nn.Module do with them.

Leaves out everything that has no shape: devices, gradients, hooks, initialisation, saving.
"""

import ast
from collections.abc import Mapping, Sequence

from generator_svc.shapes import arithmetic, layers
from generator_svc.shapes.journal import Journal
from generator_svc.shapes.natives import (
    MODULE_METHODS,
    bind_parameters,
    call_collection_method,
    call_module_method,
    children_of,
    has_attribute,
    is_instance,
    make_container,
    tensor_attribute,
)
from generator_svc.shapes.statements import Returned, Statements
from generator_svc.shapes.tensor_functions import (
    FACTORIES,
    call_tensor_function,
    concatenate,
    make_tensor,
    stack,
)
from generator_svc.shapes.values import (
    UNKNOWN,
    Bound,
    Function,
    Hyperparameters,
    Inconsistent,
    Instance,
    Layer,
    Method,
    Partial,
    Scope,
    Span,
    Super,
    Symbol,
    Tensor,
    Undecided,
    UserClass,
    Value,
)

MAX_CALL_DEPTH = 40
_TORCH = {"torch", "torch.nn.functional", "torch.special", "torch.linalg"}


class Machine(Statements):
    """Follows one source. Not reusable, not shared between threads."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._depth = 0
        self.globals = Scope()
        self.globals.names["__name__"] = "net"
        for name in (*arithmetic.BUILTINS, "range", "isinstance", "getattr", "setattr", "hasattr", "type"):
            self.globals.names[name] = Symbol(f"builtins.{name}")

    def call(
        self, function: Value, args: Sequence[Value], keywords: Mapping[str, Value], span: Span
    ) -> Value:
        """The result of a call. Raises Inconsistent and Undecided."""
        self.tick()
        match function:
            case Symbol():
                return self._call_library(function.path, args, keywords, span)
            case Layer():
                return self._apply(function, args, keywords, span)
            case Instance():
                return self._call_instance(function, args, keywords, span)
            case Bound():
                return self._run(function.function, [function.receiver, *args], keywords)
            case Function():
                return self._run(function, args, keywords)
            case UserClass():
                return self._instantiate(function, args, keywords, span)
            case Method():
                return self._call_method(function, args, keywords)
            case Partial():
                merged = {**function.keywords, **keywords}
                return self.call(function.function, [*function.arguments, *args], merged, span)
        return UNKNOWN

    def _run(self, function: Function, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
        self._depth += 1
        if self._depth > MAX_CALL_DEPTH:
            raise Undecided("calls nest too deep to follow")
        scope = Scope(function.scope, method_of=function.owner)
        if function.owner is not None and function.wrapper != "staticmethod" and args:
            scope.receiver = args[0]
        bind_parameters(function, args, keywords, scope)
        try:
            if isinstance(function.node, ast.Lambda):
                return self.evaluate(function.node.body, scope)
            self.execute(function.node.body, scope)
        except Returned as returned:
            return returned.value
        finally:
            self._depth -= 1
        return None

    def _instantiate(
        self, kind: UserClass, args: Sequence[Value], keywords: Mapping[str, Value], span: Span
    ) -> Value:
        instance = Instance(kind, span)
        library = list(kind.library_bases())
        if any(base == Symbol("torch.nn.Sequential") for base in library):
            instance.container = Layer("Sequential", {}, span)
        elif any(base != Symbol("torch.nn.Module") and base != Symbol("builtins.object") for base in library):
            return UNKNOWN
        constructor = kind.member("__init__")
        if isinstance(constructor, Function):
            self._run(constructor, [instance, *args], keywords)
        elif instance.container is not None:
            instance.container.children.extend(args)
        self.journal.note_module(span, instance)
        return instance

    def _call_instance(
        self, instance: Instance, args: Sequence[Value], keywords: Mapping[str, Value], span: Span
    ) -> Value:
        forward = instance.kind.member("forward")
        if isinstance(forward, Function):
            result = self._run(forward, [instance, *args], keywords)
        elif instance.container is not None:
            result = self._chain(instance.container.children, args, span)
        else:
            raise Inconsistent(f"{instance.kind.name} has no forward")
        self.journal.note_application(instance.span, args, result)
        return result

    def _apply(self, layer: Layer, args: Sequence[Value], keywords: Mapping[str, Value], span: Span) -> Value:
        if layer.kind == "Sequential":
            result = self._chain(layer.children, args, span)
        elif layer.kind in layers.CONTAINERS:
            raise Inconsistent(f"a {layer.kind} cannot be called")
        else:
            inputs = [*args, *(value for value in keywords.values() if isinstance(value, Tensor))]
            result = layers.apply_layer(layer, inputs)
            self.journal.note_cost(layers.multiply_adds(layer, result))
        self.journal.note_application(layer.span, args, result)
        return result

    def _chain(self, modules: Sequence[Value], args: Sequence[Value], span: Span) -> Value:
        value = args[0] if args else UNKNOWN
        for module in modules:
            value = self.call(module, [value], {}, span)
        return value

    def _call_library(
        self, path: str, args: Sequence[Value], keywords: Mapping[str, Value], span: Span
    ) -> Value:
        owner, _, name = path.rpartition(".")
        if owner == "builtins":
            return self._call_builtin(name, args, keywords)
        if owner == "torch.nn":
            return self._make_layer(name, args, keywords, span)
        if owner in _TORCH:
            return self._call_torch(name, args, keywords)
        if owner == "math":
            return arithmetic.call_math(name, args)
        if path == "functools.partial" and args:
            return Partial(args[0], tuple(args[1:]), dict(keywords))
        if path == "collections.OrderedDict":
            pairs = arithmetic.items(args[0]) if args and not isinstance(args[0], dict) else []
            return dict(args[0]) if args and isinstance(args[0], dict) else dict(pairs)
        return UNKNOWN

    def _call_builtin(self, name: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
        if name == "range":
            return self._range(args)
        if name == "isinstance" and len(args) == 2:
            return is_instance(args[0], args[1])
        if name == "getattr" and len(args) > 1 and isinstance(args[1], str):
            return self.attribute(args[0], args[1])
        if name == "hasattr" and len(args) == 2:
            return has_attribute(args[0], args[1])
        if name == "setattr" and len(args) == 3 and isinstance(args[1], str):
            self._assign_attribute(args[0], args[1], args[2])
            return None
        rule = arithmetic.BUILTINS.get(name)
        if rule is None or any(value is UNKNOWN for value in args):
            return UNKNOWN
        try:
            return rule(*args, **keywords)
        except TypeError:
            return UNKNOWN

    def _range(self, args: Sequence[Value]) -> Value:
        for value in args:
            self.journal.note_role(value, "depth")
        if not 1 <= len(args) <= 3 or not all(isinstance(value, int) for value in args):
            return UNKNOWN
        try:
            return range(*args)
        except ValueError as error:
            raise Inconsistent("a range with a step of 0") from error

    def _make_layer(
        self, name: str, args: Sequence[Value], keywords: Mapping[str, Value], span: Span
    ) -> Value:
        if name in {"Parameter", "Buffer"}:
            return args[0] if args else UNKNOWN
        if name in layers.CONTAINERS:
            layer = make_container(name, args, span)
        elif name in layers.SIGNATURES:
            arguments = layers.bind_arguments(name, args, keywords)
            for parameter, value in arguments.items():
                self.journal.note_role(value, layers.ROLES.get(parameter, parameter))
            layer = Layer(name, arguments, span)
            layers.check_construction(layer)
        else:
            layer = Layer(name, {}, span)
        self.journal.note_module(span, layer)
        return layer

    def _call_torch(self, name: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
        if name in {"cat", "concat", "concatenate", "stack"} and args:
            dim = args[1] if len(args) > 1 else keywords.get("dim", keywords.get("axis", 0))
            parts = arithmetic.items(args[0])
            return (stack if name == "stack" else concatenate)(parts, dim)
        if name in FACTORIES:
            for value in args:
                self.journal.note_role(value, "dimension")
            return make_tensor(args)
        if args and isinstance(args[0], Tensor):
            return call_tensor_function(name, args[0], args[1:], keywords)
        return UNKNOWN

    def _call_method(self, method: Method, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
        receiver, name = method.receiver, method.name
        if isinstance(receiver, Tensor):
            return call_tensor_function(name, receiver, args, keywords)
        if isinstance(receiver, Hyperparameters):
            return receiver.value if name in {"get", "pop"} else UNKNOWN
        if isinstance(receiver, Super):
            return self._call_super(receiver, name, args)
        if isinstance(receiver, Instance | Layer):
            return call_module_method(receiver, name, args)
        if isinstance(receiver, list | dict):
            return call_collection_method(receiver, name, args)
        return UNKNOWN

    def _call_super(self, receiver: Super, name: str, args: Sequence[Value]) -> Value:
        container = receiver.receiver.container
        if name == "__init__":
            if container is not None:
                container.children.extend(children_of(args))
            return None
        if name == "forward" and container is not None:
            return self._chain(container.children, args, (0, 0, 0, 0))
        return UNKNOWN

    def _super(self, scope: Scope) -> Value:
        inner: Scope | None = scope
        while inner is not None and inner.receiver is None:
            inner = inner.parent
        if inner is None or inner.method_of is None or not isinstance(inner.receiver, Instance):
            raise Undecided("super() outside a method")
        return Super(inner.method_of, inner.receiver)

    def attribute(self, value: Value, name: str) -> Value:
        """`value.name`. Raises Inconsistent for a module attribute that nothing sets."""
        match value:
            case Symbol():
                return Symbol(f"{value.path}.{name}")
            case Instance():
                return self._instance_attribute(value, name)
            case UserClass():
                return value.member(name)
            case Super():
                for base in value.owner.bases:
                    found = base.member(name) if isinstance(base, UserClass) else UNKNOWN
                    if isinstance(found, Function):
                        return Bound(found, value.receiver)
                return Method(value, name)
            case Layer():
                if name in value.named:
                    return value.named[name]
                known = value.arguments.get(name, UNKNOWN)
                return known if known is not UNKNOWN else Method(value, name)
            case Tensor():
                return tensor_attribute(value, name)
            case Hyperparameters() | list() | dict() | str():
                return Method(value, name)
        return UNKNOWN

    def _instance_attribute(self, instance: Instance, name: str) -> Value:
        if name in instance.attributes:
            return instance.attributes[name]
        member = instance.kind.member(name)
        if isinstance(member, Function):
            if member.wrapper == "property":
                return self._run(member, [instance], {})
            receiver = instance.kind if member.wrapper == "classmethod" else instance
            return member if member.wrapper == "staticmethod" else Bound(member, receiver)
        if member is not UNKNOWN:
            return member
        if name == "training":
            return True
        if name in MODULE_METHODS or name.startswith("_"):
            return Method(instance, name)
        raise Inconsistent(f"{instance.kind.name} has no attribute {name}")
