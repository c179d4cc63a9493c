"""Shape rules of the layers of torch.nn: what they demand, what they return, what they cost.

The rules follow torch 2.x. A layer that is not listed here gives UNKNOWN.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from math import prod

from generator_svc.shapes.values import (
    UNKNOWN,
    Inconsistent,
    Int,
    Layer,
    Tensor,
    Undecided,
    Value,
    origins_of,
)

_CONVOLUTION = "in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias padding_mode"
_POOL = "kernel_size stride=None padding=0 dilation=1 return_indices ceil_mode=False"
_NORM = "num_features eps momentum affine track_running_stats"
_ENCODER = "d_model nhead dim_feedforward=2048 dropout activation layer_norm_eps batch_first norm_first bias"
SIGNATURES: dict[str, str] = {
    "Conv1d": _CONVOLUTION,
    "Conv2d": _CONVOLUTION,
    "ConvTranspose2d": "in_channels out_channels kernel_size stride=1 padding=0 output_padding=0 groups=1 "
    "bias dilation=1 padding_mode",
    "Linear": "in_features out_features bias",
    "BatchNorm1d": _NORM,
    "BatchNorm2d": _NORM,
    "InstanceNorm2d": _NORM,
    "GroupNorm": "num_groups num_channels eps affine",
    "LayerNorm": "normalized_shape eps elementwise_affine bias",
    "RMSNorm": "normalized_shape eps elementwise_affine",
    "LocalResponseNorm": "size alpha beta k",
    "MaxPool2d": _POOL,
    "AvgPool2d": "kernel_size stride=None padding=0 ceil_mode=False count_include_pad divisor_override",
    "AdaptiveAvgPool2d": "output_size",
    "AdaptiveMaxPool2d": "output_size return_indices",
    "Flatten": "start_dim=1 end_dim=-1",
    "Upsample": "size=None scale_factor=None mode align_corners recompute_scale_factor",
    "PixelShuffle": "upscale_factor",
    "ZeroPad2d": "padding",
    "MultiheadAttention": "embed_dim num_heads dropout bias add_bias_kv add_zero_attn kdim vdim batch_first",
    "TransformerEncoderLayer": _ENCODER,
    "TransformerEncoder": "encoder_layer num_layers norm enable_nested_tensor mask_check",
    **dict.fromkeys(
        ["Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout"], "p=0.5 inplace"
    ),
    **dict.fromkeys(["ReLU", "ReLU6", "SiLU", "Hardswish", "Hardsigmoid", "Mish", "SELU"], "inplace"),
    **dict.fromkeys(["Sigmoid", "Tanh", "Softsign", "LogSigmoid", "Tanhshrink"], ""),
    "Identity": "",
    "GELU": "approximate",
    "LeakyReLU": "negative_slope inplace",
    "ELU": "alpha inplace",
    "CELU": "alpha inplace",
    "Hardtanh": "min_val max_val inplace",
    "Softplus": "beta threshold",
    "PReLU": "num_parameters=1 init",
    "Softmax": "dim",
    "LogSoftmax": "dim",
    "Softmax2d": "",
}
CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}

ROLES = {
    "in_channels": "input width",
    "in_features": "input width",
    "num_features": "input width",
    "num_channels": "input width",
    "normalized_shape": "input width",
    "embed_dim": "input width",
    "d_model": "input width",
    "dim_feedforward": "width",
    "out_channels": "width",
    "out_features": "width",
    "num_groups": "groups",
    "num_heads": "heads",
    "nhead": "heads",
    "num_layers": "depth",
    "output_size": "pool size",
    "p": "rate",
    "dropout": "rate",
}
"""What a number means where it arrives; other parameters are their own role."""


def parameters_of(kind: str) -> dict[str, Value]:
    """Parameters of a layer's constructor in order, each with its default; UNKNOWN where there is none."""
    parsed: dict[str, Value] = {}
    for parameter in SIGNATURES[kind].split():
        name, _, default = parameter.partition("=")
        value = ast.literal_eval(default) if default else UNKNOWN
        parsed[name] = Int(value) if type(value) is int else value
    return parsed


def bind_arguments(kind: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> dict[str, Value]:
    """Arguments by parameter name, with defaults. Raises Inconsistent as a wrong call would."""
    if kind == "Identity":
        return dict(keywords)
    bound = parameters_of(kind)
    if len(args) > len(bound):
        raise Inconsistent(f"{kind} takes at most {len(bound)} arguments")
    for name in keywords:
        if name not in bound and name not in {"device", "dtype"}:
            raise Inconsistent(f"{kind} has no parameter {name}")
    bound.update(zip(list(bound), args, strict=False))
    bound.update(keywords)
    return bound


def check_construction(layer: Layer) -> None:
    """Raise Inconsistent where torch's constructor would."""
    given = layer.arguments
    if layer.kind in {"Conv2d", "Conv1d", "ConvTranspose2d"}:
        for side in ("in_channels", "out_channels"):
            _need_multiple(given.get(side, UNKNOWN), given.get("groups", 1), f"{layer.kind}'s {side}")
    elif layer.kind == "GroupNorm":
        _need_multiple(
            given.get("num_channels", UNKNOWN), given.get("num_groups", UNKNOWN), "GroupNorm's channels"
        )
    elif layer.kind in {"MultiheadAttention", "TransformerEncoderLayer"}:
        width, heads = (
            ("embed_dim", "num_heads") if layer.kind == "MultiheadAttention" else ("d_model", "nhead")
        )
        _need_multiple(given.get(width, UNKNOWN), given.get(heads, UNKNOWN), "the attention's width")
    for name, value in given.items():
        if (
            ROLES.get(name) in {"width", "input width", "groups", "heads"}
            and isinstance(value, int)
            and value < 1
        ):
            raise Inconsistent(f"{layer.kind}'s {name} is {int(value)}")
    rate = given.get("p")
    if "Dropout" in layer.kind and isinstance(rate, int | float) and not 0 <= rate <= 1:
        raise Inconsistent(f"a dropout rate of {float(rate):g}")


def _need_multiple(size: Value, divisor: Value, what: str) -> None:
    if isinstance(size, int) and isinstance(divisor, int) and (divisor < 1 or size % divisor):
        raise Inconsistent(f"{what} {int(size)} is not a multiple of {int(divisor)}", divisor, size)


def parameter_count(layer: Layer) -> int:
    """Trainable numbers of one layer (its children not included); 0 where unknown."""
    given = layer.arguments
    try:
        if layer.kind in {"Conv2d", "ConvTranspose2d"}:
            return int(
                given["in_channels"]
                * given["out_channels"]
                * prod(pair(given["kernel_size"]))
                // given["groups"]
            )
        if layer.kind == "Linear":
            return int(given["in_features"] * given["out_features"])
        if layer.kind == "MultiheadAttention":
            return 4 * int(given["embed_dim"]) ** 2
    except (TypeError, KeyError, ZeroDivisionError, Undecided):
        return 0
    return 0


def pair(value: Value) -> tuple[int, int]:
    """A size for both directions, or one for each. Raises Undecided."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(v, int) for v in value):
        return value[0], value[1]
    raise Undecided("a size that is neither a number nor a pair")


def need_equal(expected: Value, actual: int, what: str) -> None:
    """Raise Inconsistent unless two sizes agree, Undecided where the first is unknown."""
    if not isinstance(expected, int):
        raise Undecided(f"{what} expects an unknown size")
    if expected != actual:
        raise Inconsistent(f"{what} expects {int(expected)}, gets {int(actual)}", expected, actual)


def window(size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool = False) -> int:
    """Positions of a sliding window along one direction. Raises Inconsistent if there is none."""
    if stride < 1 or kernel < 1 or dilation < 1 or padding < 0:
        raise Inconsistent("a window with a size, stride or dilation below 1")
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise Inconsistent(f"a window of {kernel} does not fit a map of {size}")
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _need_dimensions(x: Tensor, allowed: set[int], kind: str) -> None:
    if len(x.shape) not in allowed:
        raise Inconsistent(f"{kind} does not accept {len(x.shape)} dimensions")


def _conv2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {4}, "Conv2d")
    need_equal(given["in_channels"], x.shape[1], "Conv2d")
    kernel, stride, dilation = (pair(given[name]) for name in ("kernel_size", "stride", "dilation"))
    if given["padding"] == "same":
        if stride != (1, 1):
            raise Inconsistent("padding 'same' with a stride")
        sides = x.shape[2:]
    else:
        padding = (0, 0) if given["padding"] == "valid" else pair(given["padding"])
        sides = tuple(
            window(*axis) for axis in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
        )
    return Tensor((x.shape[0], given["out_channels"], *sides))


def _conv_transpose2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {4}, "ConvTranspose2d")
    need_equal(given["in_channels"], x.shape[1], "ConvTranspose2d")
    names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
    sides = [
        (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
        for size, kernel, stride, padding, extra, dilation in zip(
            x.shape[2:], *(pair(given[name]) for name in names), strict=True
        )
    ]
    if min(sides) < 1:
        raise Inconsistent("a transposed convolution leaves no map")
    return Tensor((x.shape[0], given["out_channels"], *sides))


def _linear(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {1, 2, 3, 4, 5}, "Linear")
    need_equal(given["in_features"], x.shape[-1], "Linear")
    return Tensor((*x.shape[:-1], given["out_features"]))


def _channel_norm(given: Mapping[str, Value], x: Tensor) -> Tensor:
    need_equal(given.get("num_features", given.get("num_channels")), x.shape[1], "the normalisation")
    return x


def _batch_norm2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {4}, "BatchNorm2d")
    return _channel_norm(given, x)


def _batch_norm1d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {2, 3}, "BatchNorm1d")
    return _channel_norm(given, x)


def _instance_norm2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {4}, "InstanceNorm2d")
    if prod(x.shape[2:]) == 1:
        raise Inconsistent("InstanceNorm2d needs more than one position")
    return _channel_norm(given, x)


def _layer_norm(given: Mapping[str, Value], x: Tensor) -> Tensor:
    shape = given["normalized_shape"]
    shape = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if len(shape) > len(x.shape):
        raise Inconsistent("LayerNorm has more dimensions than its input")
    for expected, actual in zip(shape, x.shape[-len(shape) :], strict=True):
        need_equal(expected, actual, "LayerNorm")
    return x


def _pool2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {3, 4}, "a pooling")
    kernel = pair(given["kernel_size"])
    stride = kernel if given["stride"] is None else pair(given["stride"])
    padding = pair(given["padding"])
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise Inconsistent("a pooling pads by more than half its window")
    dilation = pair(given.get("dilation", 1))
    ceil = given["ceil_mode"] is True
    axes = zip(x.shape[-2:], kernel, stride, padding, dilation, strict=True)
    return Tensor((*x.shape[:-2], *(window(*axis, ceil=ceil) for axis in axes)))


def _adaptive_pool2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    _need_dimensions(x, {3, 4}, "a pooling")
    size = given["output_size"]
    wanted = tuple(size) if isinstance(size, tuple | list) else (size, size)
    sides = [own if want is None else want for own, want in zip(x.shape[-2:], wanted, strict=True)]
    if not all(isinstance(side, int) for side in sides):
        raise Undecided("a pooling to an unknown size")
    return Tensor((*x.shape[:-2], *sides))


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """`torch.flatten`. The joined dimension remembers the literals of its parts."""
    rank = len(x.shape)
    start, end = start_dim % rank, end_dim % rank
    joined = x.shape[start : end + 1]
    return Tensor((*x.shape[:start], Int(prod(joined), origins_of(*joined)), *x.shape[end + 1 :]))


def _upsample(given: Mapping[str, Value], x: Tensor) -> Tensor:
    if given["size"] is not None:
        return Tensor((*x.shape[:2], *pair(given["size"])))
    scale = given["scale_factor"]
    if not isinstance(scale, int | float):
        raise Undecided("an upsampling by an unknown factor")
    return Tensor((*x.shape[:2], *(int(side * scale) for side in x.shape[2:])))


def _zero_pad2d(given: Mapping[str, Value], x: Tensor) -> Tensor:
    padding = given["padding"]
    left, right, top, bottom = padding if isinstance(padding, tuple | list) else (padding,) * 4
    return Tensor((*x.shape[:-2], x.shape[-2] + top + bottom, x.shape[-1] + left + right))


def _pixel_shuffle(given: Mapping[str, Value], x: Tensor) -> Tensor:
    factor = given["upscale_factor"]
    if x.shape[1] % factor**2:
        raise Inconsistent("PixelShuffle needs a multiple of its squared factor")
    return Tensor((x.shape[0], x.shape[1] // factor**2, x.shape[2] * factor, x.shape[3] * factor))


def _encoder(given: Mapping[str, Value], x: Tensor) -> Tensor:
    need_equal(given["d_model"], x.shape[-1], "the encoder")
    return x


RULES: dict[str, Callable[[Mapping[str, Value], Tensor], Tensor]] = {
    "Conv2d": _conv2d,
    "ConvTranspose2d": _conv_transpose2d,
    "Linear": _linear,
    "BatchNorm1d": _batch_norm1d,
    "BatchNorm2d": _batch_norm2d,
    "InstanceNorm2d": _instance_norm2d,
    "GroupNorm": _channel_norm,
    "LayerNorm": _layer_norm,
    "RMSNorm": _layer_norm,
    "MaxPool2d": _pool2d,
    "AvgPool2d": _pool2d,
    "AdaptiveAvgPool2d": _adaptive_pool2d,
    "AdaptiveMaxPool2d": _adaptive_pool2d,
    "Flatten": lambda given, x: flatten(x, given["start_dim"], given["end_dim"]),
    "Upsample": _upsample,
    "ZeroPad2d": _zero_pad2d,
    "PixelShuffle": _pixel_shuffle,
    "TransformerEncoderLayer": _encoder,
}
_SHAPELESS = set(SIGNATURES) - set(RULES) - {"Conv1d", "MultiheadAttention", "TransformerEncoder"}
"""Activations, dropout and the like: the shape goes through."""


def apply_layer(layer: Layer, inputs: Sequence[Value]) -> Value:
    """What a layer (not a container) returns. Raises Inconsistent and Undecided."""
    x = inputs[0] if inputs else UNKNOWN
    if not isinstance(x, Tensor):
        return UNKNOWN
    if layer.kind == "MultiheadAttention":
        for given in inputs[:1]:
            need_equal(layer.arguments["embed_dim"], given.shape[-1], "the attention")
        return (x, UNKNOWN)
    if layer.kind == "TransformerEncoder":
        inner = layer.arguments.get("encoder_layer")
        return apply_layer(inner, inputs) if isinstance(inner, Layer) else UNKNOWN
    if layer.kind in _SHAPELESS:
        return x
    rule = RULES.get(layer.kind)
    return UNKNOWN if rule is None else rule(layer.arguments, x)


def multiply_adds(layer: Layer, result: Value) -> int:
    """Multiply-adds of one forward pass over the whole batch; 0 where unknown or negligible."""
    if not isinstance(result, Tensor) or not result.shape:
        return 0
    positions = prod(result.shape[2:]) if layer.kind == "Conv2d" else prod(result.shape[1:-1])
    return result.shape[0] * positions * parameter_count(layer)
