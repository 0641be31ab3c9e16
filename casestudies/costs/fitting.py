"""Recording a network for inputs of given sizes, and what to say where the two do not fit.

Nothing is computed: the network runs on the meta device. Where an input is too small or too large, the sizes that
work are looked for; so are videos or signals where the network takes them in place of images. What is suggested was
tried.
"""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from casestudies.costs.reach import FACTORS, WINDOW_OPS
from casestudies.costs.table import Image, Sizes, each_input, noun, shown
from casestudies.graph import Graph, RecordingError, Value, in_one_line, record_or_stop, window_output
from casestudies.hollow import EARLIER, NoContents, Refusal

# What the sizes of an input are called, by how many there are.
FORMS = {
    1: "(features,)",
    2: "(channels, length)",
    3: "(channels, height, width)",
    4: "(channels, frames, height, width)",
}

# ------------------------------------------------------------------------------------------------ the sizes


def check_image(image: Iterable[int]) -> tuple[int, int, int]:
    """(channels, height, width) as integers of Python; NumPy's are welcome."""
    sizes = _sizes(image)
    if sizes is None or len(sizes) != 3:
        raise _not_sizes(image)
    return sizes[0], sizes[1], sizes[2]


def check_inputs(image: object) -> Image:
    """The sizes of one input of any kind, or a tuple with those of each input, as integers of Python."""
    sizes = _sizes(image)
    if sizes is not None:
        return sizes
    several = tuple(map(_sizes, image)) if isinstance(image, (tuple, list)) else ()
    known = tuple([each for each in several if each is not None])
    if not known or len(known) != len(several):
        raise _not_sizes(image)
    return known if len(known) > 1 else known[0]


def _sizes(image: object) -> Sizes | None:
    # A set has no order, and text is no list of numbers.
    if isinstance(image, (str, bytes, bytearray, dict, set, frozenset)) or not isinstance(image, Iterable):
        return None
    try:
        given = tuple(image)
        sizes = tuple(map(operator.index, given))
    except TypeError:
        return None
    good = sizes and min(sizes) > 0 and not any(isinstance(size, bool) for size in given)
    return sizes if good else None


def _not_sizes(image: object) -> ValueError:
    return ValueError(f"image is {image!r}; expected (channels, height, width), such as (3, 224, 224)")


# --------------------------------------------------------------------------------------------- the recording


# What torch says of tensors that are too large, of a batch norm in training that gets one number, and of an embedding
# that gets numbers which are no places in it.
TOO_LARGE = ("Storage size calculation overflowed", "numel: integer multiplication")
LONELY = "more than 1 value per channel"
WHOLE = "scalar types: Long, Int"
SLOPES = re.compile(r"Found parameter numbers = (\d+) and channel size = (\d+)")  # of a PReLU
# What code raises that is given another shape than it expects.
OF_SHAPES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)


@dataclass(frozen=True)
class Unfit:
    """Why an image does not fit. `side` says whether it is too small (-1), too large (1), or otherwise (0)."""

    reason: str
    side: int
    begun: int = 0  # modules that had begun to run when the network stopped


@dataclass(frozen=True)
class Terms:
    """On what terms a network is run: its mode, how many inputs, whether gradients are recorded.

    Inputs that stand `alone` may be run as two where one is not enough for a batch norm in training.
    """

    training: bool
    batch: int = 1
    grad: bool = False
    alone: bool = True


def record_image(network: nn.Module, image: Image, terms: Terms) -> tuple[Graph, int]:
    """The graph of a network for images on the meta device, and how many images it was recorded with.

    In training a batch norm cannot take the statistics of one number: where one image leaves it that, the
    network runs on two, if the images stand `alone`.

    Raises ValueError where an image does not fit the network, or is too large for any tensor, for another number of
    inputs or sides than the network takes, and for a module that torch itself cannot run without contents.
    """
    try:
        return _recorded(network, image, terms)
    except RecordingError as error:
        cause, unfit = error.__cause__, _unfit(error) or _unfit_norm(network, image)
        if any(words in str(cause) for words in TOO_LARGE):
            raise _too_large(image, terms.batch) from None
        # An image of another size is nearer to what was asked than an input of another kind.
        shaped = unfit is None and _is_of_shapes(cause)
        other = _other_that_works(network, image, terms, error) if shaped else None
        if other is not None:
            raise ValueError(
                f"image is {shown(image)}; {_where(error)} does not take what it gets of that: {_said(cause)}; "
                f"an image that works is {shown(other)}"
            ) from None
        wanted = _wanted(network, image, terms, error, unfit)
        if wanted is not None:
            raise ValueError(f"image is {shown(image)}; {wanted}") from None
        if unfit is not None:
            raise ValueError(_advice(network, image, terms, unfit)) from None
        if cause is None:
            raise
        cause.add_note(f"This happened in {error.call.path or 'the network'!r}, while its ledger was made.")
        if isinstance(cause, NoContents) and EARLIER not in str(cause):
            cause.add_note("casestudies.costs.total_macs counts the MACs of such a recording.")
        raise cause from None
    except ValueError as error:
        if not isinstance(error.__cause__, NotImplementedError):  # of its train()
            raise
        raise ValueError(
            f"network is {type(network).__name__} and was made by torch.export, which has settled its mode; "
            "pass the nn.Module that was exported"
        ) from None


def _recorded(network: nn.Module, image: Image, terms: Terms) -> tuple[Graph, int]:
    """Do what `record_image` does, but raise a RecordingError where the network stops."""
    batch, training, grad = terms.batch, terms.training, terms.grad
    floats = (each.dtype for each in network.parameters() if each.is_floating_point())
    dtype = next(floats, torch.float32)
    try:
        inputs = [torch.empty(batch, *sizes, device="meta", dtype=dtype) for sizes in each_input(image)]
    except (RuntimeError, TypeError, OverflowError):  # torch counts the bytes in 64 bits
        raise _too_large(image, batch) from None
    try:
        return record_or_stop(network, *inputs, training=training, grad=grad), batch
    except RecordingError as error:
        cause = str(error.__cause__)
        if training and batch == 1 and terms.alone and LONELY in cause:
            return _recorded(network, image, replace(terms, batch=2))
        if WHOLE not in cause:
            raise
        whole = [torch.empty_like(x, dtype=torch.int64) for x in inputs]
        try:
            return record_or_stop(network, *whole, training=training, grad=grad), batch
        except RecordingError as other:
            stop = error if _unfit(other) is None else other
            raise stop from stop.__cause__


def _too_large(image: Image, batch: int) -> ValueError:
    images = f"image is {shown(image)}" if batch == 1 else f"image is {shown(image)} and batch is {batch}"
    return ValueError(
        f"{images}: that makes a tensor of more bytes than torch can count; expected sides of at most "
        f"{LARGEST:,} or so"
    )


def check_network(network: nn.Module, name: str = "network") -> None:
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"{name} is {in_one_line(network)} ({type(network).__name__}); expected an nn.Module, "
            "such as casestudies.zoo.build('vgg16')"
        )


def check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}); expected True or False")


def _unfit(error: RecordingError) -> Unfit | None:
    """What the operation at which the network stopped tells about the image; None if it tells nothing."""
    call, arguments = error.call, error.arguments
    name = f"layer {call.path!r} ({call.kind})" if call.layer else f"{error.name or 'prelu'} in {call.path!r}"
    if slopes := SLOPES.search(str(error.__cause__)):  # torch refuses it before there is an operation
        return Unfit(f"{name} expects {slopes[1]} channels and receives {slopes[2]}", 0)
    if not error.data:
        return None
    match error.name:
        case "convolution":
            x, weight = arguments["input"], arguments["weight"]
            expected = weight.shape[0] if arguments["transposed"] else weight.shape[1] * arguments["groups"]
            if x.shape[1] != expected:
                return Unfit(f"{name} expects {expected} channels and receives {x.shape[1]}", 0)
        case "batch_norm":
            x = arguments["input"]
            for key in ("weight", "bias", "running_mean", "running_var"):
                tensor = arguments.get(key)
                if isinstance(tensor, Value) and tensor.numel != x.shape[1]:
                    return Unfit(f"{name} expects {tensor.numel} channels and receives {x.shape[1]}", 0)
        case "mm" | "addmm":
            left, right = FACTORS[error.name]
            received, expected = arguments[left].shape[1], arguments[right].shape[0]
            if left not in error.data:
                received, expected = expected, received
            if received != expected:
                reason = f"{name} expects {expected:,} features and receives {received:,}"
                return Unfit(reason, 1 if received > expected else -1)
    if error.name in WINDOW_OPS and not arguments.get("transposed"):
        found = WINDOW_OPS[error.name](arguments)
        sides = (found.kernel, found.stride, found.padding, found.dilation)
        x = arguments["input" if error.name == "convolution" else "self"]
        grid = x.shape[-len(found.all_kernel) :][-2:]
        if any(window_output(*each) < 1 for each in zip(grid, *sides, strict=False)):
            return Unfit(
                f"{name} receives a grid of {' x '.join(map(str, grid))}, smaller than its window", -1
            )
    return None


# -------------------------------------------------------------------------- when it takes other inputs


def _wanted(
    network: nn.Module, image: Image, terms: Terms, error: RecordingError, unfit: Unfit | None
) -> str | None:
    """What the network takes, where that is another number of inputs or of sides than `image` has; else None."""
    cause = error.__cause__
    if not _is_of_shapes(cause):
        return None
    if unfit is not None and unfit.side:
        return None
    name, given = type(network).__name__, each_input(image)
    # Several, since a single one could pass for its channels.
    several_images = replace(terms, batch=max(2, terms.batch))
    inputs = _inputs_of(network, len(given))
    if inputs is not None:
        names, first = ", ".join(inputs), given[0]
        if len(inputs) == 1:
            return f"{name} takes one input ({names}): image is its sizes, such as {first}"
        several = (first,) * len(inputs)
        such = f", such as {several}" if _tried(network, several, several_images) is None else ""
        return f"{name} takes {len(inputs)} inputs ({names}): image is the sizes of each{such}"
    if len(given) > 1:
        return None if unfit is not None else f"{name} does not take these: {_said(cause)}"
    if unfit is None and _takes_other_channels(network, given[0], terms):
        return None
    sides = None if unfit is None else _sides_of_layer(given[0], error)
    forms = (4, 2, 3) if unfit is None else () if sides is None else (sides + 1,)
    known = None if sides is None or sides + 1 not in FORMS else f"{name} takes {FORMS[sides + 1]}"
    same = 0
    for sizes in _others(given[0], forms):
        found = _tried(network, sizes, several_images)
        if found is None:
            return f"{name} takes {FORMS[len(sizes)]}, such as {sizes}"
        if found.side and found.begun > error.begun:  # it is only too small or too large
            known = f"{name} takes {FORMS[len(sizes)]}"
        same += found.reason == str(error) != ""
        if same == ALIKE:
            break
    if (
        known is None
        and unfit is None
        and FORMS.get(len(given[0])) != FORMS[3]
        and not isinstance(cause, TypeError)
    ):
        return f"{_where(error)} does not take that: {_said(cause)}"
    return known


def _where(error: RecordingError) -> str:
    """The module at which the network stopped."""
    return f"layer {error.call.path!r} ({error.call.kind})" if error.call.path else error.call.kind


def _takes_other_channels(network: nn.Module, sizes: Sizes, terms: Terms) -> bool:
    """Whether sizes of the same form fit that only have other channels: a shuffle spreads these over the grid."""
    unlikely = replace(terms, batch=max(7, terms.batch))  # not to pass for the channels
    return len(sizes) > 1 and any(
        _tried(network, (channels, *sizes[1:]), unlikely) is None for channels in (4, 9, 16, 64)
    )


def _unfit_norm(network: nn.Module, image: Image) -> Unfit | None:
    """What a norm that is the whole network tells about the image: torch refuses it before any operation."""
    if not isinstance(network, nn.modules.batchnorm._NormBase) or isinstance(image[0], tuple):
        return None
    expected, received = network.num_features, image[0]
    if len(image) < 2 or expected in (0, received) or not (network.affine or network.track_running_stats):
        return None
    return Unfit(f"{type(network).__name__} expects {expected} channels and receives {received}", 0)


def _is_of_shapes(cause: BaseException | None) -> bool:
    """Whether an exception may be raised since something has another shape than the code expects."""
    return (
        isinstance(cause, OF_SHAPES)
        and not isinstance(cause, (NoContents, Refusal, RecursionError))
        and LONELY not in str(cause)
    )


def _said(cause: BaseException | None) -> str:
    """The first line of what an exception says, or its name where it says nothing, as a bare `assert`."""
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)


def _sides_of_layer(sizes: Sizes, error: RecordingError) -> int | None:
    """Over how many sides a convolution slides that took the whole batch for a single input, without its channels."""
    x, weight = error.arguments.get("input"), error.arguments.get("weight")
    if error.name != "convolution" or not isinstance(x, Value) or not isinstance(weight, Value):
        return None
    sides = len(weight.shape) - 2
    return sides if x.shape[2:] == sizes and sides == len(sizes) else None


def _inputs_of(network: nn.Module, given: int) -> list[str] | None:
    """The names of the inputs that a network must have, if it does not take `given` of them; else None."""
    try:
        signature = inspect.signature(network.forward)
    except (TypeError, ValueError):  # not written in Python
        return None
    try:
        signature.bind(*range(given))
    except TypeError:
        needed = [
            each.name
            for each in signature.parameters.values()
            if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        return needed if len(needed) not in (0, given) else None
    return None


def _others(sizes: Sizes, forms: Iterable[int]) -> Iterator[Sizes]:
    """Sizes of another form: a video or a signal in place of an image, or an image in place of those."""
    sides = dict.fromkeys((*sizes[1:][-1:], 112, 224))
    for form in forms:
        if form == len(sizes) or form not in FORMS:
            continue
        for channels in dict.fromkeys((sizes[0], 3, 1)):
            for side in sides:
                for frames in (16, 8, 32) if form == 4 else (1,):
                    yield (channels, frames, side, side) if form == 4 else (channels, *[side] * (form - 1))


def _other_that_works(network: nn.Module, image: Image, terms: Terms, error: RecordingError) -> Image | None:
    """Inputs of the same kind in a usual size with which the network runs, the nearest first; None if none does.

    That tells an image which does not fit from a network which is wrong, whatever it raises.
    """
    if isinstance(image[0], tuple) or len(image) < 2:
        return None
    same = 0
    for side in sorted(USUAL, key=lambda side: abs(math.log(side / image[-1]))):
        other = _resized(image, side)
        found = None if other == image else _tried(network, other, terms)
        if found is None and other != image:
            return other
        same += found is not None and found.reason == str(error) != ""
        if same == ALIKE:
            break
    return None


def _tried(network: nn.Module, image: Image, terms: Terms) -> Unfit | None:
    """Why inputs of these sizes do not fit; None where they do."""
    try:
        _recorded(network, image, terms)
    except RecordingError as error:
        return replace(_unfit(error) or Unfit(str(error), 0), begun=error.begun)
    except Exception as error:
        return Unfit(str(error), 0)
    return None


# ------------------------------------------------------------------------------------ when it does not fit

USUAL = (
    4, 8, 14, 16, 28, 32, 48, 56, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 299, 320, 384, 448, 512,
)  # fmt: skip
ALIKE = 3  # inputs that fail with the same words, which then do not speak of sizes
LARGEST = 4096  # pixels a side; where the search for an image that fits gives up


def _advice(network: nn.Module, image: Image, terms: Terms, unfit: Unfit) -> str:
    """What was wrong with the image, and what to do."""
    shape, inputs = shown(image), each_input(image)
    longest = max(map(len, inputs))
    if unfit.side == 0 or longest == 1:
        forms = [FORMS.get(len(sizes), "(channels, ...)") for sizes in inputs]
        form = forms[0] if len(forms) == 1 else f"({', '.join(forms)})"
        return f"image is {shape}: {unfit.reason}; image is {form}"

    def side(size: int) -> int:
        found = _tried(network, _resized(image, size), terms)
        if found is None:
            return 0
        return found.side or -1  # where it fails in another way, it does not fit either

    kind = f"{'square ' if longest > 2 else ''}{noun(image)}"
    smallest = _first(lambda size: side(size) >= 0)
    if smallest is None or side(smallest):
        return (
            f"image is {shape}: {unfit.reason}; no {kind} up to {' x '.join([str(LARGEST)] * min(longest - 1, 2))} "
            "fits this network"
        )
    least = shown(_resized(image, smallest))
    if unfit.side < 0:
        return f"image is {shape}, too small: {unfit.reason}; the smallest {kind} that works is {least}"
    largest = (_first(lambda size: side(size) > 0) or LARGEST) - 1
    sizes = least if largest == smallest else f"{least} to {shown(_resized(image, largest))}"
    return f"image is {shape}, too large: {unfit.reason}; the {kind}s that work are {sizes}"


def _resized(image: Image, size: int) -> Image:
    """Inputs of the same kind with other sides: height and width, or length."""
    found = []
    for sizes in each_input(image):
        sides = min(len(sizes) - 1, 2)
        found.append((*sizes[: len(sizes) - sides], *[size] * sides))
    return tuple(found) if len(found) > 1 else found[0]


def _first(holds: Callable[[int], bool]) -> int | None:
    """The first size from which a condition holds; it must hold from there on."""
    above = 1
    while not holds(above):
        above *= 2
        if above > LARGEST:
            return None
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if holds(middle) else (middle, above)
    return above
