"""What a network costs to deploy, as far as a symbolic run proves it: parameters and operations.

What is given are lower bounds: layers that the run does not know, free-standing `nn.Parameter`s and
arithmetic on tensors count nothing, so that no network is refused for a cost that it may not have. For
networks of the usual layers the parameters are those that torch counts, and operations the matrix products.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

from contracts.names import SourceContract
from contracts.proposals import DataShape
from contracts.source_rules import CheckedSource
from generator_svc.shapes import Span, Trace, Verdict, trace_source
from generator_svc.shapes.layers import SIGNATURES, pair
from generator_svc.shapes.values import MAX_RANK, Instance, Layer, Undecided, Value

STANDARD_INPUTS: dict[str, DataShape] = {
    "mnist": DataShape(1, 28, 28, 10),
    "fashion-mnist": DataShape(1, 28, 28, 10),
    "cifar-10": DataShape(3, 32, 32, 10),
    "cifar-100": DataShape(3, 32, 32, 100),
    "svhn": DataShape(3, 32, 32, 10),
    "imagenette": DataShape(3, 160, 160, 10),
    "celeba-gender": DataShape(3, 64, 64, 2),
}
"""The standard data sets. Of others whoever asks knows the shape, or nothing is proven."""

BATCH = 2
OTHER_SIDES = (32, 64)
"""LEMUR's networks get images of the size that their `transform` makes: what counts is proven for any."""
MAX_DISTINCT = 64
"""Kinds of layers made in one place: with more, their operations are left out."""
_SIZES = ("in_channels", "out_channels", "kernel_size", "groups", "dim_feedforward", "num_layers")
"""What the operations of a layer depend on, beside the shapes that it is given."""
_OF_THE_NETWORK: Span = (0, 0, 0, 0)
"""The place where a run notes the network itself."""


@dataclass(frozen=True)
class DeploymentCosts:
    """Lower bounds of one network on one data set; None where nothing is proven."""

    parameters: int | None = None
    flops: int | None = None
    """Multiplications and additions of one forward pass of one image, each counted as one."""


def deployment_costs(
    checked: CheckedSource, dataset: str | None, shape: DataShape | None = None
) -> DeploymentCosts:
    """The costs on a data set of this shape, else on a standard one. Pure, bounded in time."""
    shape = shape or STANDARD_INPUTS.get(dataset or "")
    if shape is None:
        return DeploymentCosts()
    try:
        return _proven_costs(checked, shape)
    except (TypeError, AttributeError, LookupError, ArithmeticError, ValueError, RecursionError):
        # A hostile source may bring any value anywhere; where a rule stumbles over it, nothing is proven.
        return DeploymentCosts()


def _proven_costs(checked: CheckedSource, shape: DataShape) -> DeploymentCosts:
    if checked.contract is SourceContract.PLAIN:
        run = _Run(checked, (BATCH, shape.channels, shape.height, shape.width), shape.classes)
        return DeploymentCosts(run.parameters(), run.flops()) if run.is_proven else DeploymentCosts()
    runs = [_Run(checked, (BATCH, shape.channels, side, side), shape.classes) for side in OTHER_SIDES]
    counts = {run.parameters() if run.is_proven else None for run in runs}
    return DeploymentCosts(counts.pop() if len(counts) == 1 else None)


class _Run:
    """One symbolic run, and what its journal says of costs."""

    def __init__(self, checked: CheckedSource, in_shape: tuple[int, int, int, int], classes: int) -> None:
        self._trace: Trace = trace_source(checked.source, in_shape, classes)
        self._calls = {_span(node): node for node in ast.walk(checked.tree) if isinstance(node, ast.Call)}

    @property
    def is_proven(self) -> bool:
        return self._trace.verdict is Verdict.PROVEN

    def parameters(self) -> int:
        """Of the layers that belong to the network, each counted once."""
        networks = self._trace.journal.modules.get(_OF_THE_NETWORK, [])
        return sum(self._parameters_of(layer) for layer in _layers(networks[-1:]))

    def flops(self) -> int:
        """Of one image."""
        journal = self._trace.journal
        total = 0
        for span, shapes in journal.applications.items():
            layers = _distinct(journal.modules.get(span, []))
            for (given, result), times in Counter(shapes.passed).items() if layers else ():
                # One line of source may make many layers: the cheapest that fits the shapes counts.
                fitting = [layer for layer in layers if _fits(layer, given, result)]
                total += times * min(_products(layer, given, result) for layer in fitting or layers)
        return 2 * total // BATCH

    def _parameters_of(self, layer: Layer) -> int:
        if layer.named:
            return 0  # something was put in place of its weights
        try:
            return int(self._count(layer))
        except (TypeError, LookupError, ArithmeticError, ValueError, Undecided):
            return 0

    def _count(self, layer: Layer) -> int:
        given = layer.arguments
        match layer.kind:
            case "Conv2d" | "ConvTranspose2d":
                weights = given["in_channels"] * given["out_channels"] * prod(pair(given["kernel_size"]))
                return weights // given["groups"] + self._has(layer, "bias") * given["out_channels"]
            case "Linear":
                return given["out_features"] * (given["in_features"] + self._has(layer, "bias"))
            case "BatchNorm1d" | "BatchNorm2d":
                return 2 * self._has(layer, "affine") * given["num_features"]
            case "GroupNorm":
                return 2 * self._has(layer, "affine") * given["num_channels"]
            case "LayerNorm":
                shape = given["normalized_shape"]
                sides = shape[:MAX_RANK] if isinstance(shape, list | tuple) else (shape,)
                return self._has(layer, "elementwise_affine") * (1 + self._has(layer, "bias")) * prod(sides)
            case "PReLU":
                return given["num_parameters"]
            case "MultiheadAttention" if self._has(layer, "kdim") and self._has(layer, "vdim"):
                return given["embed_dim"] * 4 * (given["embed_dim"] + self._has(layer, "bias"))
            case "TransformerEncoderLayer":
                width, hidden, bias = given["d_model"], given["dim_feedforward"], self._has(layer, "bias")
                return 4 * width**2 + 2 * width * hidden + 2 * width + bias * (7 * width + hidden)
            case "TransformerEncoder" if isinstance(given["encoder_layer"], Layer):
                return given["num_layers"] * self._count(given["encoder_layer"])
        return 0

    def _has(self, layer: Layer, option: str) -> bool:
        """Whether an option is on: said, or left at its default, which is on, where the layer is made."""
        value = layer.arguments.get(option)
        if isinstance(value, bool):
            return value
        call = self._calls.get(layer.span) if layer.span is not None else None
        if call is None or not isinstance(call.func, ast.Name | ast.Attribute):
            return False
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
        names = [parameter.partition("=")[0] for parameter in SIGNATURES[layer.kind].split()]
        is_starred = any(isinstance(argument, ast.Starred) for argument in call.args)
        is_said = any(keyword.arg in {None, option} for keyword in call.keywords)
        return name == layer.kind and not is_starred and not is_said and len(call.args) <= names.index(option)


def _distinct(modules: Iterable[Layer | Instance]) -> list[Layer]:
    """Of the layers made in one place, one for each set of sizes: a loop may have made thousands."""
    found: dict[tuple[object, ...], Layer] = {}
    for module in modules:
        if isinstance(module, Layer):
            given = module.arguments
            sizes = (given[name] for name in _SIZES if isinstance(given.get(name), int | tuple))
            found.setdefault((module.kind, id(given.get("encoder_layer")), *sizes), module)
    return list(found.values()) if len(found) <= MAX_DISTINCT else []


def _fits(layer: Layer, given: tuple[int, ...], result: tuple[int, ...]) -> bool:
    widths = layer.arguments.get("in_channels"), layer.arguments.get("out_channels")
    return len(given) > 1 and len(result) > 1 and widths == (given[1], result[1])


def _products(layer: Layer, given: tuple[int, ...], result: tuple[int, ...]) -> int:
    """Multiplications of a layer's matrix products on a batch; as many additions go with them."""
    try:
        match layer.kind:
            case "Conv2d" | "ConvTranspose2d":
                positions = result if layer.kind == "Conv2d" else given
                kernel = prod(pair(layer.arguments["kernel_size"]))
                weights = given[1] * result[1] * kernel // layer.arguments["groups"]
                return given[0] * prod(positions[2:]) * weights
            case "Linear":
                return prod(result) * given[-1]
            case "TransformerEncoderLayer":
                width = given[-1]
                return prod(given) * (4 * width + 2 * int(layer.arguments["dim_feedforward"]))
            case "TransformerEncoder" if isinstance(layer.arguments["encoder_layer"], Layer):
                inner = _products(layer.arguments["encoder_layer"], given, result)
                return int(layer.arguments["num_layers"]) * inner
    except (TypeError, LookupError, ArithmeticError, ValueError, Undecided):
        return 0
    return 0


def _layers(modules: list[Layer | Instance]) -> Iterator[Layer]:
    """Every layer of torch.nn that torch would find below some modules, each once."""
    pending: list[Value] = list(modules)
    seen: set[int] = set()
    while pending:
        module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module, Instance):
            pending.extend((*module.attributes.values(), module.container))
        elif isinstance(module, Layer) and module.kind == "ModuleDict":
            pending.extend(module.named.values())
        elif isinstance(module, Layer):
            pending.extend(module.children)
            yield module


def _span(node: ast.Call) -> Span:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0
