"""Carry out a recorded computation again, from the record alone.

    again = replay(graph, [x], {"conv.weight": w, "conv.bias": b})
    torch.testing.assert_close(again.outputs[0], block(x))

If the replay gives what the module gave, on fresh inputs and weights, then the graph says all that the module
does. A graph may come from a stranger: only operations of a list are carried out, each result must have the
shape that the graph claims, and that is checked before there is memory for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from casestudies.graph import SHAPES, SYMBOLS, Argument, Graph, Op, Ref, check_graph, function_of, tensor_of
from casestudies.hollow import tensors_in

LARGEST = 64_000_000  # numbers of one value
MOST = 512_000_000  # numbers of all values together


# What DataParallel and torch.compile, which `record` looks through, write before the names in their state.
WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")


class ReplayError(ValueError):
    """A graph cannot be carried out, or not with these tensors. It is a ValueError."""


@dataclass(frozen=True)
class Replayed:
    """The result of `~casestudies.replay.replay`: outputs, inputs, state and all values."""

    outputs: tuple[Tensor, ...]  #: The tensors that the network returns, in order.
    inputs: tuple[Tensor, ...]  #: The tensors that went in, as they are afterwards.
    #: The parameters and buffers that the graph uses, by name, as they are afterwards.
    state: dict[str, Tensor]
    values: dict[int, Tensor]  #: All tensors, by place in ``graph.values``.


def replay(
    graph: Graph,
    inputs: Sequence[Tensor],
    state: Mapping[str, Tensor],
    *,
    known: Mapping[int, Tensor] | None = None,
) -> Replayed:
    """Run a graph's operations again, on other tensors of the same shapes.

    Gradients are recorded as torch's mode says, and random numbers come from torch's generator. In-place writes
    change the tensors you pass: pass copies of anything you want kept. Shapes are checked,
    :ref:`dtypes <graph-dtypes>` are not.

    Args:
        graph: A recorded graph.
        inputs: A list or tuple with a tensor for each input.
        state: A dictionary with a tensor for each parameter and buffer that the graph uses, by name, such as
            ``dict(network.named_parameters()) | dict(network.named_buffers())``. ``network.state_dict()`` will do if
            no gradients are wanted and no buffer is left out of it.
        known: A dictionary with tensors for results of operations, by their places in ``graph.values``. An operation
            whose results are all known is skipped; if only some are known, it runs, and they are ignored. Default:
            None.

    Returns:
        A `~casestudies.replay.Replayed`.

    Raises:
        TypeError: An argument is of another type.
        ReplayError: A tensor is missing, is not a tensor, or does not have the shape in the graph.
        ReplayError: A key of `known` is not the place of a value, or is the place of one that no operation makes,
            such as an input.
        ReplayError: An operation fails, or is not among those that are replayed: those of usual layers are, but
            not, for instance, `torch.linalg.svd`, `torch.linalg.det` and those of `torch.fft`.
        ReplayError: A constant has more than `casestudies.graph.LARGEST_CONSTANT` numbers (register it as a buffer
            instead), or the graph exceeds one of the :ref:`limits <graph-limits>`.

    See Also:
        `casestudies.record` makes a graph.

    >>> from casestudies import record
    >>> layer, images = nn.Conv2d(1, 6, 5), torch.rand(2, 1, 32, 32)
    >>> graph = record(layer, torch.empty(2, 1, 32, 32, device="meta"))
    >>> again = replay(graph, [images], layer.state_dict())
    >>> torch.equal(again.outputs[0], layer(images))
    True
    """
    check_graph(graph)
    _expect_arguments(graph, inputs, state, known)
    if len(inputs) != len(graph.inputs):
        raise ReplayError(f"the graph has {len(graph.inputs)} inputs; {len(inputs)} were given")
    if sum(value.numel for value in graph.values) > MOST:
        raise ReplayError(f"the values of the graph have more than {MOST:,} numbers together")
    tensors: dict[int, Tensor] = {}

    def put(number: int, tensor: Any, what: str) -> None:
        expected = graph.values[number].shape
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != expected:
            shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ReplayError(f"{what} is {shape}; the graph says {expected}")
        tensors[number] = tensor

    for place, (number, tensor) in enumerate(zip(graph.inputs, inputs, strict=True)):
        put(number, tensor, f"input {place}")
    used = {}
    state = {WRAPPED.sub("", name): tensor for name, tensor in state.items()} | dict(state)
    for held in graph.state:
        if held.value is not None:
            if held.name not in state:
                raise ReplayError(f"state lacks {held.name}, a {held.kind} of {held.shape}")
            put(held.value, state[held.name], held.name)
            used[held.name] = state[held.name]
    for constant in graph.constants:
        numbers = tensor_of(graph, constant)
        if numbers is None:
            shape = graph.values[constant.value].shape
            raise ReplayError(f"a constant of {shape} is too large to be in the graph")
        tensors[constant.value] = numbers

    for place, op in enumerate(graph.ops):
        if known and op.outputs and all(output in known for output in op.outputs):
            for output in op.outputs:
                put(output, known[output], f"value {output}")
            continue
        results = _carry_out(graph, op, tensors, f"operation {place} ({op.name})")
        for output, result in zip(op.outputs, results, strict=True):
            put(output, result, f"the result of operation {place} ({op.name})")
            flowed = any(graph.values[number].requires_grad for number in op.reads)
            if flowed and not graph.values[output].requires_grad and result.requires_grad and not op.writes:
                tensors[output] = result.detach()  # it ran under torch.no_grad()
    try:
        outputs = tuple(tensors[number] for number in graph.outputs)
    except KeyError as error:
        raise ReplayError(f"nothing makes the output {error}") from None
    return Replayed(outputs, tuple(inputs), used, tensors)


def _expect_arguments(graph: Graph, inputs: object, state: object, known: object) -> None:
    known = {} if known is None else known
    for name, given, kind, wanted in (
        ("inputs", inputs, (list, tuple), "a list or tuple of tensors"),
        ("state", state, Mapping, "a dict of tensors by name, such as network.state_dict()"),
        ("known", known, Mapping, "a dict of tensors by their places in graph.values"),
    ):
        if not isinstance(given, kind):
            raise TypeError(f"{name} is {given!r:.80} ({type(given).__name__}); expected {wanted}")
    for number in known if isinstance(known, Mapping) else ():
        if isinstance(number, float) or number not in range(len(graph.values)):
            raise ReplayError(
                f"known has {number!r:.80}, which is no place in graph.values; expected 0 to {len(graph.values) - 1}"
            )
        if number not in graph.maker:
            raise ReplayError(
                f"known has {number}, which no operation makes; expected results of operations, since inputs, "
                "parameters and buffers are given as such, and constants are in the graph"
            )


def effort(graph: Graph) -> tuple[int, int]:
    """What carrying out a graph takes at most: its reads of numbers, and the numbers in its largest workspace.

    Found from the shapes alone, each of which `replay` holds against what an operation gives before it is run. A
    small result may take long (an average over a wide window), and may need much memory meanwhile (a convolution
    unfolds its image).
    """
    shapes = [value.shape for value in graph.values]
    sizes = [value.numel for value in graph.values]
    found = [_effort(op, shapes.__getitem__, sum(sizes[output] for output in op.outputs)) for op in graph.ops]
    return sum(reads for reads, _ in found), max((room for _, room in found), default=0)


def _effort(op: Op, shape_of: Callable[[int], tuple[int, ...]], out: int) -> tuple[int, int]:
    """The same of one operation, whose results have `out` numbers."""

    def shape(name: str) -> tuple[int, ...]:
        value = arguments.get(name)
        return tuple(shape_of(value.value)) if isinstance(value, Ref) else ()

    # By torch's name of it: a stranger's graph may call it anything.
    arguments, name = dict(op.arguments), op.overload.partition(".")[0].strip("_")
    if name == "convolution":
        image, weight = shape("input"), shape("weight")
        over = image if arguments.get("transposed") else (out,)
        images = max(1, image[0] if len(image) == len(weight) and image else 1)
        read, filters, groups = math.prod(weight[1:]), max(1, *weight[:1]), arguments.get("groups")
        positions = math.prod(over) // (images * filters)
        return math.prod(over) * read, positions * read * (groups if isinstance(groups, int) else 1)
    if name in PRODUCTS:
        factors = [shape(each) for each in arguments if each != "self" or "add" not in name]
        return out * math.isqrt(math.prod(map(math.prod, factors)) // max(1, out)), 0
    if "attention" in name:
        return math.prod(shape("query")) * math.prod(shape("key")[-2:-1]), 0
    window, sides = arguments.get("kernel_size"), re.search(r"pool(\d)d", name)
    if sides and window is not None:
        sizes = [
            size for size in (window if isinstance(window, tuple) else (window,)) if isinstance(size, int)
        ]
        return out * math.prod(sizes * (int(sides[1]) if len(sizes) == 1 else 1)), 0
    return out + sum(math.prod(shape_of(number)) for number in op.reads), 0


def carry_out(op: Op, tensors: Mapping[int, Tensor]) -> list[Tensor]:
    """Carry out one operation of a graph that we recorded ourselves, without a limit on the size of its result.

    `tensors` gives a tensor for each value that it reads. Raises ReplayError for an operation that fails.
    """
    return _results(op, *_prepared(op, tensors, op.name, listed=False), op.name)


def refusal(op: Op, tensors: Mapping[int, Tensor]) -> str:
    """What torch says where an operation cannot be carried out with these tensors; "" where it can be, or
    may need more time or memory than there is to find out. Raises ReplayError for an operation that is not on the
    list.
    """
    function, arguments = _prepared(op, tensors, op.name)
    if function is None:
        return ""
    try:
        expected = _foreseen(function, arguments)
        size = _bound(arguments) if expected is None else math.prod(expected)
        if max(size, *_effort(op, lambda number: tensors[number].shape, size)) > LARGEST:
            return ""
    except Exception:  # it does not fit, as torch will say
        pass
    try:
        function(**arguments)
    except Exception as error:
        return str(error)
    return ""


def _carry_out(graph: Graph, op: Op, tensors: dict[int, Tensor], where: str) -> list[Tensor]:
    function, arguments = _prepared(op, tensors, where)
    claimed = [graph.values[output].shape for output in op.outputs]
    if function is not None:
        if any(math.prod(shape) > LARGEST for shape in claimed):
            raise ReplayError(f"{where}: a result of more than {LARGEST:,} numbers")
        _grown(function, arguments, claimed, where)
    return _results(op, function, arguments, where)


def _prepared(
    op: Op, tensors: Mapping[int, Tensor], where: str, listed: bool = True
) -> tuple[Any, Mapping[str, Any]]:
    """Torch's function for an operation, and its arguments; `changed` is none of torch's, and has no function."""
    arguments = {name: _real(value, tensors) for name, value in op.arguments}
    if op.name == "changed":
        return None, arguments
    packet_name, _, overload = op.overload.partition(".")
    packet_name = CHECKED.get(packet_name, packet_name)
    if listed and packet_name.rstrip("_") not in ALLOWED and packet_name not in ALLOWED:
        raise ReplayError(f"{where}: {op.overload} is not among the operations that are replayed")
    function = function_of(f"{packet_name}.{overload}")
    if function is None:
        raise ReplayError(f"{where}: torch has no {op.overload}")
    if "generator" in overload:  # which is not in the graph
        arguments["generator"] = None
    return function, arguments


def _real(argument: Argument, tensors: Mapping[int, Tensor]) -> Any:
    # No function inside `_prepared`: one that calls itself is given back by the garbage collector alone, and with it
    # all tensors that it can see.
    if isinstance(argument, Ref):
        return tensors[argument.value]
    if isinstance(argument, tuple):
        return [_real(item, tensors) for item in argument]
    if isinstance(argument, str) and argument in SYMBOLS:
        return SYMBOLS[argument]
    return argument


def _results(op: Op, function: Any, arguments: Mapping[str, Any], where: str) -> list[Tensor]:
    if function is None:  # another view of the same memory was written: it is there already
        return [arguments["self"]]
    try:
        result = function(**arguments)
    except Exception as error:
        raise ReplayError(f"{where}: {type(error).__name__}: {str(error)[:200]}") from error
    results = list(tensors_in(result))
    if len(results) != len(op.outputs):
        raise ReplayError(f"{where}: {len(results)} results; the graph says {len(op.outputs)}")
    return results


def _grown(function: Any, arguments: Mapping[str, Any], claimed: list[Any], where: str) -> None:
    """Check the claimed shape of an operation whose result can be larger than what it reads."""
    try:
        expected = _foreseen(function, arguments)
    except ReplayError:
        raise
    except Exception as error:
        raise ReplayError(f"{where}: {type(error).__name__}: {str(error)[:200]}") from error
    if expected is None:
        if _bound(arguments) > LARGEST:
            raise ReplayError(f"{where}: a result of more than {LARGEST:,} numbers")
    elif claimed and math.prod(expected) != math.prod(claimed[0]):
        raise ReplayError(f"{where}: gives {expected}; the graph says {claimed[0]}")


def _foreseen(function: Any, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape that an operation's rule foresees; None where it has none."""
    name = function.overloadpacket.__name__
    rule = GROWING.get(name.rstrip("_")) or GROWING.get(name)
    if rule is None:
        return None
    schema = function._schema.arguments
    return tuple(rule([arguments.get(argument.name, argument.default_value) for argument in schema]))


def _bound(arguments: Mapping[str, Any]) -> int:
    """As many numbers as an operation without a rule gives at most: those of what it reads, one beside the other, or
    of the size that it is given. A claim of its graph says nothing of that before it is carried out."""
    size = arguments.get("size")
    given = math.prod(size) if isinstance(size, (list, tuple)) else 0
    return max(given, math.prod(_broadcast(list(arguments.values()))))


def _broadcast(arguments: Sequence[Any]) -> tuple[int, ...]:
    shapes = [tuple(tensor.shape) for tensor in tensors_in(list(arguments))]
    longest = max(map(len, shapes), default=0)
    padded = [(1,) * (longest - len(shape)) + shape for shape in shapes]
    return tuple(next((size for size in side if size != 1), 1) for side in zip(*padded, strict=True))


def _convolution(arguments: Sequence[Any]) -> tuple[int, ...]:
    x, weight, _, stride, padding, dilation, transposed, output_padding, groups = arguments[:9]
    if not transposed:
        shape = SHAPES[torch.ops.aten.convolution](arguments)
        if shape is None:
            raise ReplayError("a convolution that does not fit its input")
        return shape
    sides = x.dim() - 2
    stride, padding, dilation, extra = (
        list(each) * (sides if len(each) == 1 else 1) for each in (stride, padding, dilation, output_padding)
    )
    grid = [
        (size - 1) * s - 2 * p + d * (k - 1) + e + 1
        for size, k, s, p, d, e in zip(
            x.shape[2:], weight.shape[2:], stride, padding, dilation, extra, strict=True
        )
    ]
    return (x.shape[0], weight.shape[1] * groups, *grid)


def _product(arguments: Sequence[Any]) -> tuple[int, ...]:
    left, right = [each for each in arguments if isinstance(each, Tensor)][-2:]
    return (
        (*left.shape[:-1], *right.shape[1 if right.dim() == 2 else 2 :])
        if right.dim() > 1
        else left.shape[:-1]
    )


def _padded(arguments: Sequence[Any]) -> tuple[int, ...]:
    x, pads = arguments[:2]
    sizes = list(x.shape)
    for place in range(len(pads) // 2):
        sizes[-1 - place] += pads[2 * place] + pads[2 * place + 1]
    return tuple(sizes)


def _pooled(name: str) -> Callable[[Sequence[Any]], tuple[int, ...]]:
    def shape(arguments: Sequence[Any]) -> tuple[int, ...]:
        found = SHAPES[getattr(torch.ops.aten, name)](list(arguments))
        if found is None:
            raise ReplayError("a window that does not fit its input")
        return found

    return shape


def _repeated(arguments: Sequence[Any]) -> tuple[int, ...]:
    x, times = arguments[:2]
    sizes = (1,) * (len(times) - x.dim()) + tuple(x.shape)
    return tuple(size * each for size, each in zip(sizes, times, strict=True))


def _windows(arguments: Sequence[Any]) -> tuple[int, ...]:
    x, kernel, dilation, padding, stride = arguments[:5]
    count = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, d, p, s in zip(x.shape[-2:], kernel, dilation, padding, stride, strict=True)
    ]
    return (*x.shape[:-3], x.shape[-3] * math.prod(kernel), math.prod(count))


def _picked(arguments: Sequence[Any]) -> tuple[int, ...]:
    x, picks = arguments[:2]
    chosen = [pick for pick in picks if isinstance(pick, Tensor)]
    if any(pick.dtype == torch.bool for pick in chosen):
        return (x[tuple(slice(None) if pick is None else pick for pick in picks)].numel(),)  # never grows
    kept = [size for dim, size in enumerate(x.shape) if dim >= len(picks) or picks[dim] is None]
    return (*_broadcast(chosen), *kept)


def _counted(arguments: Sequence[Any]) -> tuple[int, ...]:
    numbers = [each for each in arguments if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if len(numbers) == 1:
        numbers = [0, *numbers]
    start, end, step = (*numbers, 1)[:3]
    return (max(0, math.ceil((end - start) / step)),)


PRODUCTS = frozenset("mm bmm mv dot addmm baddbmm addmv".split())

# Operations whose result can be larger than what they read, and how large it is.
GROWING: dict[str, Callable[[Sequence[Any]], Sequence[int]]] = {
    **dict.fromkeys(
        "add sub mul div pow maximum minimum where atan2 fmod remainder eq ne lt le gt ge logical_and logical_or "
        "logical_xor bitwise_and bitwise_or addcmul addcdiv lerp clamp rsub xlogy floor_divide".split(),
        _broadcast,
    ),
    "convolution": _convolution,
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(
        "constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d".split(), _padded
    ),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), _pooled("max_pool2d")),
    "avg_pool2d": _pooled("avg_pool2d"),
    **dict.fromkeys(
        ("_adaptive_avg_pool2d", "adaptive_max_pool2d"), lambda arguments: (*arguments[0].shape[:-2], *arguments[1])
    ),
    "repeat": _repeated,
    **dict.fromkeys(("cat", "stack"), lambda arguments: (sum(tensor.numel() for tensor in arguments[0]),)),
    "im2col": _windows,
    "index": _picked,
    "index_select": lambda arguments: (
        arguments[0].numel() // max(1, arguments[0].shape[arguments[1]]) * arguments[2].numel(),
    ),
    "gather": lambda arguments: arguments[2].shape,
    **dict.fromkeys("zeros ones empty full rand randn _efficientzerotensor".split(), lambda arguments: arguments[0]),
    **dict.fromkeys("new_zeros new_ones new_empty new_full".split(), lambda arguments: arguments[1]),
    "arange": _counted,
    "eye": lambda arguments: tuple(each for each in arguments[:2] if type(each) is int) * 2,
}  # fmt: skip

# Operations that do not look at what they are given, and the same ones that do.
CHECKED = {"_unsafe_index": "index"}

# What is carried out, in place or not: pure functions of tensors, all of them.
ALLOWED = frozenset(GROWING) | frozenset(
    """
    relu hardtanh leaky_relu elu selu celu gelu silu mish sigmoid tanh softplus hardswish hardsigmoid
    log_sigmoid_forward threshold exp log log2 log10 log1p expm1 sqrt rsqrt reciprocal neg abs sign
    square floor ceil round trunc sin cos erf isnan clamp_min clamp_max relu6 native_batch_norm
    batch_norm _native_batch_norm_legit _batch_norm_with_update native_layer_norm native_group_norm
    max_pool2d avg_pool1d avg_pool3d native_dropout bernoulli _softmax _safe_softmax _log_softmax mean
    sum amax amin max min prod var std var_mean std_mean norm linalg_vector_norm cumsum cumprod argmax
    argmin any all topk sort view _unsafe_view _reshape_alias t transpose permute select slice squeeze
    unsqueeze expand unbind split unsafe_split unsafe_chunk split_with_sizes chunk diagonal unfold alias
    detach clone contiguous lift_fresh _to_copy movedim flip roll tril triu zeros_like ones_like
    empty_like full_like rand_like randn_like copy fill zero uniform normal random masked_fill scatter
    scatter_add channel_shuffle _scaled_dot_product_flash_attention_for_cpu pixel_shuffle
    pixel_unshuffle native_channel_shuffle _prelu_kernel
    """.split()
)
