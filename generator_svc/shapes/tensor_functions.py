"""Shape rules of the functions of torch and of the methods of tensors.

`torch.relu(x)`, `F.relu(x)` and `x.relu()` are one rule: the tensor comes first. A function that is not
listed gives UNKNOWN.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

from generator_svc.shapes.layers import RULES, bind_arguments
from generator_svc.shapes.values import (
    UNKNOWN,
    Inconsistent,
    Int,
    Tensor,
    Undecided,
    Value,
    origins_of,
)

ELEMENTWISE = frozenset(
    {
        "relu",
        "relu_",
        "relu6",
        "gelu",
        "silu",
        "mish",
        "elu",
        "elu_",
        "selu",
        "leaky_relu",
        "leaky_relu_",
        "hardswish",
        "hardsigmoid",
        "hardtanh",
        "sigmoid",
        "tanh",
        "softplus",
        "softmax",
        "log_softmax",
        "softsign",
        "dropout",
        "dropout1d",
        "dropout2d",
        "alpha_dropout",
        "feature_dropout",
        "normalize",
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "abs",
        "pow",
        "square",
        "neg",
        "clamp",
        "clip",
        "contiguous",
        "clone",
        "detach",
        "float",
        "double",
        "half",
        "to",
        "type",
        "cuda",
        "cpu",
        "requires_grad_",
        "layer_norm",
        "group_norm",
        "batch_norm",
        "instance_norm",
        "roll",
        "flip",
        "zeros_like",
        "ones_like",
        "randn_like",
        "rand_like",
        "bernoulli",
        "nan_to_num",
        "erf",
        "sin",
        "cos",
        "round",
        "floor",
        "sign",
        "mul_",
        "add_",
        "div_",
        "sub_",
        "type_as",
        "clamp_",
        "logit",
        "celu",
        "prelu",
        "logsigmoid",
        "normal_",
        "fill_",
        "zero_",
        "uniform_",
        "cumsum",
    }
)
"""The result has the shape of the first argument."""

FACTORIES = frozenset({"zeros", "ones", "randn", "rand", "empty"})


def broadcast(left: Tensor, right: Tensor) -> Tensor:
    """The shape of an elementwise operation on two tensors. Raises Inconsistent with the two sizes."""
    a, b = left.shape, right.shape
    rank = max(len(a), len(b))
    a = (1,) * (rank - len(a)) + a
    b = (1,) * (rank - len(b)) + b
    sides = []
    for own, other in zip(a, b, strict=True):
        if own != other and own != 1 and other != 1:
            raise Inconsistent(f"{int(own)} and {int(other)} do not broadcast", own, other)
        sides.append(other if own == 1 else own)
    return Tensor(tuple(sides))


def _reshape(x: Tensor, *shape: Value) -> Tensor:
    sides = list(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else list(shape)
    if not all(isinstance(side, int) for side in sides):
        raise Undecided("a reshape to an unknown size")
    total = prod(x.shape)
    if sides.count(-1) > 1:
        raise Inconsistent("a reshape with two open sizes")
    if -1 not in sides:
        if prod(sides) != total:
            raise Inconsistent(f"a reshape of {total} numbers to {prod(sides)}", *_flat_sizes(x, sides))
        return Tensor(tuple(sides))
    known = prod(side for side in sides if side != -1)
    # A wrong feature count often divides the whole and would silently change the batch.
    lost_batch = len(sides) == 2 and sides[0] == -1 and len(x.shape) > 2 and known != prod(x.shape[1:])
    if known < 1 or total % known or lost_batch:
        raise Inconsistent("a reshape loses the batch", *_flat_sizes(x, sides))
    open_side = Int(total // known, origins_of(*x.shape, *sides))
    return Tensor(tuple(open_side if side == -1 else side for side in sides))


def _flat_sizes(x: Tensor, sides: Sequence[int]) -> tuple[Int, Int]:
    """The features a reshape wants and those it gets, for a repair of the wish."""
    return (
        Int(prod(sides[1:]), origins_of(*sides[1:])),
        Int(prod(x.shape[1:]), origins_of(*x.shape[1:])),
    )


def _flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    return RULES["Flatten"]({"start_dim": start_dim, "end_dim": end_dim}, x)


def _permute(x: Tensor, *order: Value) -> Tensor:
    axes = list(order[0]) if len(order) == 1 and isinstance(order[0], tuple | list) else list(order)
    if sorted(axis % len(x.shape) for axis in axes) != list(range(len(x.shape))):
        raise Inconsistent("a permutation that does not name every dimension once")
    return Tensor(tuple(x.shape[axis] for axis in axes))


def _transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    sides = list(x.shape)
    sides[dim0], sides[dim1] = sides[dim1], sides[dim0]
    return Tensor(tuple(sides))


def _reduce(x: Tensor, dim: Value = None, keepdim: bool = False, **_ignored: Value) -> Tensor:
    if dim is None:
        return Tensor(())
    axes = {axis % len(x.shape) for axis in (dim if isinstance(dim, tuple | list) else (dim,))}
    kept = ((1 if i in axes else side) for i, side in enumerate(x.shape) if keepdim or i not in axes)
    return Tensor(tuple(kept))


def _reduce_pair(x: Tensor, dim: Value = None, keepdim: bool = False) -> Value:
    if isinstance(dim, Tensor):
        return broadcast(x, dim)
    reduced = _reduce(x, dim, keepdim)
    return reduced if dim is None else (reduced, reduced)


def _unsqueeze(x: Tensor, dim: int) -> Tensor:
    at = dim % (len(x.shape) + 1)
    return Tensor((*x.shape[:at], 1, *x.shape[at:]))


def _squeeze(x: Tensor, dim: Value = None) -> Tensor:
    if dim is None:
        return Tensor(tuple(side for side in x.shape if side != 1))
    axes = {axis % len(x.shape) for axis in (dim if isinstance(dim, tuple | list) else (dim,))}
    return Tensor(tuple(side for i, side in enumerate(x.shape) if i not in axes or side != 1))


def _chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    size = -(-x.shape[dim] // chunks)
    return _split(x, size, dim)


def _split(x: Tensor, size: Value, dim: int = 0) -> tuple[Tensor, ...]:
    total = x.shape[dim]
    if isinstance(size, tuple | list):
        sizes = list(size)
        if sum(sizes) != total:
            raise Inconsistent(f"a split of {int(total)} into {sum(sizes)}")
    else:
        count = -(-total // size)
        if count > 64:
            raise Undecided("a split into many parts")
        sizes = [min(size, total - i * size) for i in range(count)]
    axis = dim % len(x.shape)
    return tuple(Tensor((*x.shape[:axis], part, *x.shape[axis + 1 :])) for part in sizes)


def _expand(x: Tensor, *shape: Value) -> Tensor:
    sides = list(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else list(shape)
    own = (1,) * (len(sides) - len(x.shape)) + x.shape
    wanted = tuple(had if side == -1 else side for side, had in zip(sides, own, strict=True))
    return broadcast(x, Tensor(wanted))


def _matmul(x: Tensor, other: Tensor) -> Tensor:
    if len(x.shape) < 2 or len(other.shape) < 2:
        raise Undecided("a product with a vector")
    if x.shape[-1] != other.shape[-2]:
        raise Inconsistent("a matrix product of unequal sizes", other.shape[-2], x.shape[-1])
    batch = broadcast(Tensor(x.shape[:-2]), Tensor(other.shape[:-2]))
    return Tensor((*batch.shape, x.shape[-2], other.shape[-1]))


def _pool(kind: str) -> Callable[..., Tensor]:
    def rule(x: Tensor, *args: Value, **keywords: Value) -> Tensor:
        return RULES[kind](bind_arguments(kind, args, keywords), x)

    return rule


def _interpolate(x: Tensor, *args: Value, **keywords: Value) -> Tensor:
    keywords.pop("antialias", None)
    return RULES["Upsample"](bind_arguments("Upsample", args, keywords), x)


def _pad(x: Tensor, pad: Sequence[int], *_mode: Value, **_ignored: Value) -> Tensor:
    sides = list(x.shape)
    for i in range(len(pad) // 2):
        sides[-1 - i] += pad[2 * i] + pad[2 * i + 1]
    return Tensor(tuple(sides))


def _attention(query: Tensor, key: Tensor, value: Tensor, *_args: Value, **_ignored: Value) -> Tensor:
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise Inconsistent("an attention over unequal sizes")
    return Tensor((*query.shape[:-1], value.shape[-1]))


def _arithmetic(x: Tensor, other: Value, **_ignored: Value) -> Tensor:
    return broadcast(x, other) if isinstance(other, Tensor) else x


def _size(x: Tensor, dim: Value = None) -> Value:
    return x.shape if dim is None else x.shape[dim]


def _repeat(x: Tensor, *times: Value) -> Tensor:
    own = (1,) * (len(times) - len(x.shape)) + x.shape
    return Tensor(tuple(side * count for side, count in zip(own, times, strict=True)))


def concatenate(tensors: Sequence[Value], dim: int = 0) -> Value:
    """`torch.cat`. The joined size remembers the literals of its parts."""
    if not tensors or not all(isinstance(part, Tensor) for part in tensors):
        return UNKNOWN
    first = tensors[0].shape
    axis = dim % len(first)
    for part in tensors[1:]:
        if len(part.shape) != len(first):
            raise Inconsistent("a concatenation of different ranks")
        for i, (own, other) in enumerate(zip(first, part.shape, strict=True)):
            if i != axis and own != other:
                raise Inconsistent("a concatenation of unequal sizes", own, other)
    parts = [part.shape[axis] for part in tensors]
    return Tensor((*first[:axis], Int(sum(parts), origins_of(*parts)), *first[axis + 1 :]))


def stack(tensors: Sequence[Value], dim: int = 0) -> Value:
    """`torch.stack`."""
    if not tensors or not all(isinstance(part, Tensor) for part in tensors):
        return UNKNOWN
    for part in tensors[1:]:
        if part.shape != tensors[0].shape:
            raise Inconsistent("a stack of unequal shapes")
    axis = dim % (len(tensors[0].shape) + 1)
    return Tensor((*tensors[0].shape[:axis], len(tensors), *tensors[0].shape[axis:]))


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    **dict.fromkeys(["view", "reshape"], _reshape),
    "flatten": _flatten,
    "permute": _permute,
    **dict.fromkeys(["transpose", "swapaxes"], _transpose),
    **dict.fromkeys(
        ["mean", "sum", "std", "var", "amax", "amin", "logsumexp", "norm", "argmax", "prod"], _reduce
    ),
    **dict.fromkeys(["max", "min"], _reduce_pair),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "chunk": _chunk,
    "split": _split,
    "expand": _expand,
    "expand_as": lambda x, other: broadcast(x, other),
    "view_as": lambda x, other: _reshape(x, other.shape),
    **dict.fromkeys(["matmul", "bmm"], _matmul),
    "max_pool2d": _pool("MaxPool2d"),
    "avg_pool2d": _pool("AvgPool2d"),
    "adaptive_avg_pool2d": _pool("AdaptiveAvgPool2d"),
    "adaptive_max_pool2d": _pool("AdaptiveMaxPool2d"),
    "interpolate": _interpolate,
    "pad": _pad,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(["add", "sub", "mul", "div", "maximum", "minimum", "where"], _arithmetic),
    "size": _size,
    "dim": lambda x: len(x.shape),
    "numel": lambda x: prod(x.shape),
    "repeat": _repeat,
    "t": lambda x: _transpose(x, 0, 1),
    "unbind": lambda x, dim=0: tuple(_reduce(x, dim) for _ in range(min(x.shape[dim], 64))),
}


def call_tensor_function(name: str, x: Tensor, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
    """The result of a function or method on a tensor. Raises Inconsistent and Undecided."""
    if name in ELEMENTWISE:
        return x
    rule = FUNCTIONS.get(name)
    if rule is None or any(value is UNKNOWN for value in (*args, *keywords.values())):
        return UNKNOWN
    try:
        return rule(x, *args, **keywords)
    except (TypeError, KeyError, AttributeError, ZeroDivisionError):
        return UNKNOWN
    except (IndexError, ValueError) as error:
        raise Inconsistent(f"{name} does not fit a tensor of {len(x.shape)} dimensions") from error


def make_tensor(args: Sequence[Value]) -> Value:
    """`torch.zeros(2, 3)` and its kin."""
    sides = args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args
    known = all(isinstance(side, int) and 0 <= side < 2**31 for side in sides)
    return Tensor(tuple(sides)) if known else UNKNOWN


def index_tensor(x: Tensor, index: Value) -> Value:
    """`x[index]` for whole numbers, slices, None and Ellipsis; UNKNOWN for the rest."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(not (part is None or part is Ellipsis or isinstance(part, int | slice)) for part in parts):
        return UNKNOWN
    taken = sum(1 for part in parts if part is not None and part is not Ellipsis)
    if taken > len(x.shape):
        raise Inconsistent("an index with too many dimensions")
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(x.shape) - taken)
    sides: list[int] = []
    remaining = list(x.shape)
    for part in parts:
        if part is None:
            sides.append(1)
            continue
        side = remaining.pop(0)
        if isinstance(part, slice):
            count = len(range(*part.indices(side)))
            sides.append(side if count == side else count)
        elif not -side <= part < side:
            raise Inconsistent(f"index {int(part)} of {int(side)}")
    return Tensor((*sides, *remaining))
