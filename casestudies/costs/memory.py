"""What a network holds in memory: folds over its graph.

Three figures must not be taken for one another. What inference holds at its *peak*: at each operation the
tensors that some later operation still reads (liveness). What training *keeps* after the forward pass: the
tensors that autograd saves for the backward pass, as `torch.autograd.graph.saved_tensors_hooks` sees them. And
*all numbers written*, which is neither, and which the ledger lists.

Beside them stand the weights, their gradients, and what the optimiser remembers. All in bytes of each tensor's own
dtype, fp32 as a rule (indices of a max pool are int64, as torch saves them). Everything is read off a graph that was
recorded without computing anything, with the kernels that torch takes on the processor.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from casestudies.costs.fitting import Terms, check_flag, check_inputs, check_network, record_image
from casestudies.costs.ledger import (
    VECTORS,
    attention_note,
    miscounted_note,
    op_macs,
    unseen_kernels,
    unseen_layers,
)  # fmt: skip
from casestudies.costs.reach import FACTORS, RULES
from casestudies.costs.table import Image, aligned, as_html, noun, shown
from casestudies.graph import ITEMSIZE, SYMBOLS, Graph, Held, Op, Ref, function_of
from casestudies.hollow import tensors_in

# Tensors of the size of a parameter that an optimiser keeps for it, and numbers besides.
OPTIMIZERS = {"sgd": (0, 0), "momentum": (1, 0), "adam": (2, 1), "adamw": (2, 1)}


@dataclass(frozen=True)
class Step:
    """One layer, or one operation outside of layers, for the whole batch.

    `held` and `kept` cover all activations, not just this step's.
    """

    layer: str  #: The path of the module in the network, such as ``"stages.0.1.residual.0.0"``.
    kind: str  #: The class of the module, or the name of the operation.
    output: tuple[int, ...]  #: The shape of the output, with the batch.
    held: int  #: The most bytes of activations in memory while the step runs.
    kept: int  #: The bytes saved for the backward pass, up to and including this step; 0 in evaluation.
    read: int  #: The bytes of activations and weights that are read, once per operation that reads them.
    written: int  #: The bytes that its operations make.
    macs: int  #: Its MACs in the forward pass.
    backward_macs: int  #: Its MACs in the backward pass; 0 in evaluation.

    @property
    def moved(self) -> int:
        """The bytes read and written, if each operation fetches what it reads and stores what it makes."""
        return self.read + self.written

    @property
    def intensity(self) -> float:
        """The FLOPs of the forward pass per byte moved. The book's intensity is in MACs per byte, half as much."""
        return 2 * self.macs / self.moved if self.moved else 0.0


@dataclass(frozen=True)
class Memory:
    """What a network holds in memory for a batch of images, in bytes, as `casestudies.memory` measures it.

    It prints as a table and shows as one in a notebook.
    """

    network: str  #: The name of the network's class.
    image: Image  #: The sizes of the input as a tuple, or a tuple of such tuples for several inputs.
    batch: int  #: The number of images.
    training: bool  #: Whether the network ran as in training.
    optimizer: str  #: The name of the optimizer; ``""`` in evaluation.
    weights: int  #: The bytes of the parameters.
    buffers: int  #: The bytes of the buffers, such as running statistics.
    #: The bytes of the gradients, for parameters that require one and that the output depends on; 0 in evaluation.
    gradients: int
    optimizer_state: int  #: The bytes that the optimizer keeps between steps; 0 in evaluation.
    #: The bytes that autograd keeps between the passes, with the images, without weights and buffers; None if not
    #: known.
    saved: int | None
    #: The most bytes that the activations, with the images, occupy at any one time in the forward pass.
    peak: int
    steps: tuple[Step, ...]  #: The steps, in the order of use.
    #: The MACs by which torch's flop counter overcounts the weight gradients of grouped convolutions.
    miscounted: int = 0
    #: Sentences on what is not known, and on what torch's flop counter counts differently, apart from `miscounted`.
    notes: tuple[str, ...] = ()
    #: The precision of the weights, ``"fp32"`` or torch's name of another, such as ``"float16"``, or
    #: ``"float16 and float32"`` if there are several.
    dtype: str = "fp32"

    @property
    def activations(self) -> int | None:
        """The bytes of the activations; None if `saved` is None.

        In evaluation they are the peak, and in training the larger of `saved` and the peak. A ledger's `activations`
        are numbers of elements, not bytes.
        """
        return None if self.saved is None else max(self.peak, self.saved)

    @property
    def total(self) -> int | None:
        """The bytes of weights, buffers, gradients, optimizer state and `activations`; None if `saved` is None."""
        if self.activations is None:
            return None
        return self.weights + self.buffers + self.gradients + self.optimizer_state + self.activations

    @property
    def macs(self) -> int:
        """The MACs of the forward pass, for the whole batch."""
        return sum(step.macs for step in self.steps)

    @property
    def backward_macs(self) -> int:
        """The MACs of the backward pass, for the whole batch.

        Torch's flop counter returns twice ``macs + backward_macs + miscounted`` for both passes, except for what
        `notes` lists, such as attention and LSTMs. It counts the weight gradient of a grouped convolution as if it
        were ungrouped: hence `miscounted`.
        """
        return sum(step.backward_macs for step in self.steps)

    @property
    def moved(self) -> int:
        """The bytes that all operations of the forward pass read and write."""
        return sum(step.moved for step in self.steps)

    def totals(self) -> dict[str, int | None]:
        """Return each part and the total by name, as in the printed table.

        The names are ``"weights"`` and ``"buffers"``, in training ``"gradients"``, ``"state of adam"`` (or of
        another optimizer) and ``"saved for backward"``, then ``"peak of activations"`` and ``"total"``. The total
        includes only the larger of what is saved and the peak.

        Returns:
            A dictionary from names to bytes, with None for what is not known.

        >>> from casestudies import memory
        >>> held = memory(nn.Conv2d(1, 6, 5), (1, 32, 32), training=True)
        >>> for part, size in held.totals().items():
        ...     print(part, size)
        weights 624
        buffers 0
        gradients 624
        state of momentum 624
        saved for backward 4096
        peak of activations 22912
        total 24784
        """
        parts: dict[str, int | None] = {"weights": self.weights, "buffers": self.buffers}
        if self.training:
            parts |= {
                "gradients": self.gradients,
                f"state of {self.optimizer}": self.optimizer_state,
                "saved for backward": self.saved,
            }
        return parts | {"peak of activations": self.peak, "total": self.total}

    def _caption(self) -> str:
        kind = noun(self.image)
        images = f"one {kind}" if self.batch == 1 else f"{self.batch} {kind}s"
        mode = f"training with {self.optimizer}" if self.training else "inference"
        return f"{self.network}, {mode}, {images} of {shown(self.image)}; memory in bytes, {self.dtype}"

    def _columns(self) -> tuple[str, ...]:
        last = ("MACs", "backward MACs") if self.training else ("MACs",)
        kept = ("kept so far",) if self.training and self.saved is not None else ()
        return ("layer", "output", "held", *kept, "moved", "FLOPs/byte", *last)

    def _cells(self) -> list[tuple[str, ...]]:
        cells = []
        for step in self.steps:
            kept = (f"{step.kept:,}",) if self.training and self.saved is not None else ()
            backward = (f"{step.backward_macs:,}",) if self.training else ()
            name, output = f"{step.layer} {step.kind}".strip(), " x ".join(map(str, step.output))
            moved = (f"{step.moved:,}", f"{step.intensity:.1f}", f"{step.macs:,}")
            cells.append((name, output, f"{step.held:,}", *kept, *moved, *backward))
        return cells

    def __str__(self) -> str:
        rule, (head, *rows) = aligned([self._columns(), *self._cells()])
        parts = {name: _shown(value) for name, value in self.totals().items()}
        name, size = max(map(len, parts)), max(map(len, parts.values()))
        totals = [f"{part:{name}}  {value:>{size}}" for part, value in parts.items()]
        return "\n".join([self._caption(), head, rule, *rows, rule, *totals, *self._notes()])

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, miscounted_note(self.miscounted)) if self.miscounted else self.notes

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
            for first, *rest in self._cells()
        )
        span = len(self._columns()) - 1
        foot = "".join(
            f'<tr><th scope="row">{escape(part)}</th><td colspan="{span}">{_shown(value)}</td></tr>'
            for part, value in self.totals().items()
        )
        return as_html(self._caption(), self._columns(), body, foot, self._notes())


def _shown(size: int | None) -> str:
    return "not known" if size is None else f"{size:,}"


def memory(
    network: nn.Module,
    image: Image = (3, 224, 224),
    *,
    batch: int = 1,
    training: bool = False,
    optimizer: str | None = None,
) -> Memory:
    """Measure what a network holds in memory for a batch of images.

    In evaluation that is the weights, the buffers and the peak of the activations: a tensor is held from the
    operation that makes it to the last that reads it. In training, what torch's autograd saves is held until the
    backward pass, and there are gradients and the optimizer's state. Nothing is computed, as for
    `casestudies.ledger`. Each tensor has the bytes of its own dtype, and the images have that of the weights, so
    that a network in float16 takes half. (The ledger counts in fp32 whatever the dtype.)

    What autograd saves depends on torch's kernel for each operation; the figures here are for the CPU's kernels. If
    a kernel does not reveal it, as with an LSTM, a note says so. `~casestudies.costs.memory.Memory.saved`,
    `~casestudies.costs.memory.Memory.activations` and `~casestudies.costs.memory.Memory.total` are then None, and the
    peak and the figures of the steps are lower bounds.

    Three things are not counted: what a checkpoint computes again, the gradients of activations, and what kernels
    need while they run. A training step can therefore peak above the total.

    Args:
        network: Any module, on any device. Its own mode, training or evaluation, stays as it was.
        image: The sizes of one image without the batch, (channels, height, width), or of whatever else
            `casestudies.ledger` takes; (3, 224, 224) by default, whatever the network.
        batch: The number of images; 1 by default.
        training: Whether the network is trained; False by default.
        optimizer: With `training`, one of ``"sgd"``, ``"momentum"`` (the default), ``"adam"`` and ``"adamw"``.

    Returns:
        A `casestudies.costs.memory.Memory`, which prints as a table and shows as one in a notebook.

    Raises:
        TypeError: `network` is not a module, or `training` is not True or False.
        ValueError: The sizes in `image` are not whole numbers of at least 1, or `batch` is not a whole number of at
            least 1.
        ValueError: `optimizer` is unknown, or is given without `training`.
        ValueError: The image does not fit the network; the message is that of `casestudies.ledger`.
        ValueError: A batch norm in training is left with one number per channel; pass a larger `batch`.
        ValueError: The network cannot be recorded: it has lazy layers that have not seen an input, it was made by
            torch.jit or torch.export, or it returns a set or an iterator.
        RuntimeError: The network decides by the numbers in a tensor, or the image does not fit a layer whose shapes
            torch alone knows, as for `casestudies.ledger`.
        Exception: Any other error of the network's own is raised as it is.

    See Also:
        `casestudies.ledger` counts parameters and MACs, and the numbers that all layers write.

    >>> layers = nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)
    >>> held = memory(nn.Sequential(*layers), (1, 32, 32))
    >>> held.peak, 4 * 2 * 6 * 28 * 28  # the input and the output of tanh
    (37632, 37632)
    >>> trained = memory(
    ...     nn.Sequential(*layers), (1, 32, 32), batch=64, training=True, optimizer="adam"
    ... )
    >>> trained.weights, trained.gradients
    (624, 624)
    >>> trained.optimizer_state  # two numbers per weight, and a count of steps per tensor
    1256
    >>> trained.saved, trained.peak, trained.total
    (1466368, 2670592, 2673096)
    """
    check_network(network)
    check_flag("training", training)
    image = check_inputs(image)
    try:
        images = 0 if isinstance(batch, bool) else operator.index(batch)
    except TypeError:
        images = 0
    if images < 1:
        raise ValueError(f"batch is {batch!r}; expected a number of images, at least 1")
    if optimizer is not None and not (isinstance(optimizer, str) and optimizer in OPTIMIZERS):
        raise ValueError(f"optimizer is {optimizer!r}; expected one of {', '.join(OPTIMIZERS)}")
    if optimizer is not None and not training:
        raise ValueError(f"optimizer is {optimizer!r}, but training is False; only training has an optimizer")
    optimizer = "momentum" if optimizer is None and training else optimizer or ""
    try:
        with _Kernels() as kernels:
            graph, _ = record_image(network, image, Terms(training, images, grad=training, alone=False))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch is {images}: a batch norm of {type(network).__name__} is left with one number a channel, and "
            "training cannot take the statistics of that; pass batch=2 or more"
        ) from None
    return of_graph(graph, image, images, optimizer, frozenset(kernels.unknown))


class _Kernels(TorchFunctionMode):
    """Choose the kernel that torch uses on the CPU, where it decides what autograd saves.

    `unknown` collects the functions whose kernels do not tell what they save.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unknown: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "lstm":
            self.unknown.add("LSTM")
        elif name in ("gru", "rnn_tanh", "rnn_relu"):
            packed = isinstance(args[1], Tensor) and not args[1].is_floating_point()
            if packed or args[7]:
                self.unknown.add(
                    f"{'GRU' if name == 'gru' else 'RNN'} in both directions or of packed sequences"
                )
        return func(*args, **kwargs)


def of_graph(
    graph: Graph,
    image: Image,
    batch: int,
    optimizer: str = "",
    unknown: frozenset[str] = frozenset(),
) -> Memory:
    """Compute `memory` from a recorded graph, which has gradients if it was recorded in training.

    `unknown` names the functions for which it is not known what autograd saves.
    """
    weights = sum(map(_bytes, graph.parameters))
    reached = _reached(graph)
    trained = [each for each in graph.parameters if each.requires_grad and each.value in reached]
    copies, numbers = OPTIMIZERS.get(optimizer, (0, 0))
    gradients = sum(map(_bytes, trained)) if graph.training else 0
    every = _backward_macs(graph, reached)
    backward = [macs or 0 for macs in every]
    steps, peak, saved = _fold(graph, backward)
    notes = _notes(graph, unknown, every)
    floats = {each.dtype for each in graph.parameters if each.dtype.startswith(("float", "bfloat"))}
    return Memory(
        graph.network, image, batch, graph.training, optimizer, weights, sum(map(_bytes, graph.buffers)), gradients,
        copies * gradients + 4 * numbers * len(trained) if graph.training else 0,
        None if unknown and graph.grad else saved, peak, steps, _miscounted(graph, backward), notes,
        "fp32" if floats <= {"float32"} else " and ".join(sorted(floats)),
    )  # fmt: skip


def _bytes(held: Held) -> int:
    return math.prod(held.shape) * ITEMSIZE[held.dtype]


def _notes(graph: Graph, unknown: frozenset[str], backward: list[int | None]) -> tuple[str, ...]:
    found = []
    both = list(zip(graph.ops, backward, strict=True))
    if unknown and graph.grad:
        found.append(
            f"what autograd saves for {' and '.join(sorted(unknown))} is not known: torch's kernel keeps a workspace "
            "whose size it does not tell"
        )
    vectors = sum(op_macs(graph, op) + (more or 0) for op, more in both if op.name in VECTORS)
    if vectors:
        found.append(f"torch's flop counter leaves out products with a vector: {vectors:,} MACs here")
    attention, layers = unseen_kernels(graph)
    if attention:
        attention += sum(more or 0 for op, more in both if op.name == "scaled_dot_product_attention")
        found.append(attention_note(attention))
    found.extend(unseen_layers(layers))
    for name in sorted({op.name for op, macs in both if macs is None}):
        found.append(
            f"the backward pass of {name} has products that torch's flop counter may count, and we do not"
        )
    for name in graph.functions:
        found.append(
            "what a checkpoint computes again in the backward pass is not counted"
            if name == "checkpoint"
            else f"{name} has a backward pass of its own; that of the operations in it is counted in its place"
        )
    return tuple(found)


def _fold(graph: Graph, backward: list[int]) -> tuple[tuple[Step, ...], int, int]:
    """The steps; the peak of the activations; and what is saved."""
    values = graph.values
    given = {values[held.value].storage for held in graph.state if held.value is not None}
    size: dict[int, int] = {}  # of each storage; the first value in it is the whole, the others are views
    for value in values:
        size.setdefault(value.storage, value.nbytes)
    for op in graph.ops:
        if op.name == "empty_strided":  # with gaps between its numbers
            laid = values[op.outputs[0]]
            sides = zip(op.setting("size"), op.setting("stride"), strict=True)
            span = sum((n - 1) * step for n, step in sides) + 1
            size[laid.storage] = span * ITEMSIZE[laid.dtype] if laid.numel else 0
        if op.name == "embedding_bag":  # its kernel shortens in place what it made longer by one
            _, bags, sizes, _ = (values[number] for number in op.outputs)
            size[bags.storage] += ITEMSIZE[bags.dtype] if bags.numel else 0
            size[sizes.storage] += ITEMSIZE[sizes.dtype] if op.setting("include_last_offset") else 0
    last: dict[int, int] = {}  # the last operation that reads a storage
    for place, op in enumerate(graph.ops):
        for number in (*op.reads, *op.outputs):
            last[values[number].storage] = place
    for number in graph.outputs:
        last[values[number].storage] = len(graph.ops)
    saved = {values[value].storage for value in graph.saved} - given
    inputs = {values[value].storage for value in graph.inputs}
    live = {storage for storage in inputs if storage in last}
    steps: list[Step] = []
    peak, kept, open_call = 0, 0, -1
    seen: set[int] = set()
    for place, op in enumerate(graph.ops):
        before = {values[value].storage for value in op.reads}
        made = {values[value].storage for value in op.outputs}
        live |= made - given
        held = sum(size[storage] for storage in live)
        peak = max(peak, held)
        touched = (before | made) & saved - seen
        seen |= touched
        kept += sum(size[storage] for storage in touched)
        new = made - before
        read, written = 0, 0
        if new or op.writes:
            read = sum(values[value].nbytes for value in dict.fromkeys(op.reads))
            written = sum(values[value].nbytes for value in op.outputs)
        live -= {storage for storage in live if last.get(storage, -1) <= place and storage not in saved}
        call = graph.calls[op.call]
        inside = call.layer and op.call == open_call
        if not inside and not new and not op.writes and not call.layer:
            continue  # a view
        if call.kind == "Identity" and call.layer:
            continue
        output = values[op.outputs[0]].shape if op.outputs else ()
        kind = call.kind if call.layer else op.name
        step = Step(call.path, kind, output, held, kept, read, written, op_macs(graph, op), backward[place])
        if inside:
            steps[-1] = _joined(steps[-1], step)
        else:
            steps.append(step)
        open_call = op.call if call.layer else -1
    return tuple(steps), peak, sum(size[storage] for storage in saved)


def _joined(first: Step, second: Step) -> Step:
    return Step(
        first.layer, first.kind, second.output, max(first.held, second.held), second.kept,
        first.read + second.read, first.written + second.written, first.macs + second.macs,
        first.backward_macs + second.backward_macs,
    )  # fmt: skip


def _backward_macs(graph: Graph, reached: set[int]) -> list[int | None]:
    """The MACs of each operation's backward pass; None where they are not known.

    A product of two tensors has one for each of them that requires a gradient: the gradient of the weights, and
    that of what went in. Both cost what the product itself does. Only what leads to the output has one.
    For operations without a rule here, whose backward pass may have products, torch is asked.
    """
    found: list[int | None] = [0] * len(graph.ops)
    wanting = _wanting(graph)
    asked: dict[Any, int | None] = {}
    for place, op in enumerate(graph.ops):
        if reached.isdisjoint(op.outputs):
            continue
        # Of a product: its factors, without its bias.
        macs, factors = op_macs(graph, op), [op.setting(name).value for name in FACTORS.get(op.name, ())]
        if not macs or not factors:
            if op.name not in RULES and op.name != "changed":
                values = [graph.values[value] for value in op.reads]
                shapes = tuple([(value.shape, value.dtype) for value in values])
                question = (
                    op.overload,
                    shapes,
                    (
                        tuple([value in wanting for value in op.reads]),
                        tuple([value in reached for value in op.outputs]),
                    ),
                    _settings(op),
                )
                if question not in asked:
                    asked[question] = _asked(graph, op, wanting, reached)
                found[place] = asked[question]
            continue
        needed = [value in wanting for value in factors]
        if op.name == "scaled_dot_product_attention":
            query, key, value = needed
            inner, outer = (graph.values[op.setting(name).value].shape[-1] for name in ("query", "value"))
            each = macs // (inner + outer)
            found[place] = each * (inner * (query + key) + outer * (value + (query or key)))
        else:
            found[place] = macs * sum(needed)
    return found


def _settings(op: Op) -> str:
    return repr([(name, value) for name, value in op.arguments if not isinstance(value, Ref)])


def _asked(graph: Graph, op: Op, wanting: set[int], reached: set[int]) -> int | None:
    """The MACs that torch counts in a backward pass on tensors without contents; None where it cannot."""
    from torch.utils.flop_counter import FlopCounterMode

    if wanting.isdisjoint(op.reads):
        return 0  # it only makes a tensor: torch would fill a real one, and draw numbers for it
    given: list[Tensor] = []

    def real(argument: Any) -> Any:
        if isinstance(argument, Ref):
            value = graph.values[argument.value]
            made = torch.empty(value.shape, dtype=SYMBOLS[f"torch.{value.dtype}"], device="meta")
            if argument.value in wanting:
                given.append(made.requires_grad_())
            return made
        if isinstance(argument, tuple):
            return [real(item) for item in argument]
        return SYMBOLS.get(argument, argument) if isinstance(argument, str) else argument

    try:
        with torch.enable_grad():
            results = function_of(op.overload)(**{name: real(value) for name, value in op.arguments})
            # What a gradient does not reach, such as vectors of which the network reads the values alone, has none.
            both = zip(op.outputs, tensors_in(results), strict=False)
            ends = [each for value, each in both if value in reached and each.requires_grad]
            with FlopCounterMode(display=False) as counter:
                torch.autograd.grad(ends, given, [torch.empty_like(each) for each in ends], allow_unused=True)
    except Exception:  # an operation that has no kernel without contents, or changes what it reads
        return None
    return counter.get_total_flops() // 2


def _wanting(graph: Graph) -> set[int]:
    """The values that require a gradient.

    What is written in place requires one from then on, through whatever view it is read.
    """
    found = {number for number, value in enumerate(graph.values) if value.requires_grad}
    if graph.grad:
        for op in graph.ops:
            if (op.writes or op.name == "changed") and not found.isdisjoint(op.reads):
                found.update(op.outputs)
    return found


def _reached(graph: Graph) -> set[int]:
    """The values that a gradient reaches, from the outputs that require one."""
    if not graph.grad:
        return set()
    wanting = _wanting(graph)
    wanted = {number for number in graph.outputs if graph.values[number].requires_grad} & wanting
    for op in reversed(graph.ops):
        if op.name != "detach" and not wanted.isdisjoint(op.outputs):
            wanted.update(value for value in op.reads if value in wanting)
    return wanted & wanting


def _miscounted(graph: Graph, backward: list[int]) -> int:
    found = 0
    for op, macs in zip(graph.ops, backward, strict=True):
        if op.name == "convolution" and macs and graph.values[op.setting("weight").value].requires_grad:
            found += op_macs(graph, op) * (op.setting("groups") - 1)
    return found
