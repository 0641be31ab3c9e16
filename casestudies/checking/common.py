"""What runs of candidates have in common is computed once.

A large block is compared with dozens of candidates, each with its weights matched in several ways, on the same input
and with the same numbers in its weights. Most of these runs begin alike, or have a tower alike. So what an operation
gives is kept beside what it was given: the operation, its settings, and where each tensor comes from, which is the
input, a weight of the student's or another operation. Who asks for the same again gets the same tensor.

A weight in one layout is in memory once: all parameters that carry it share it, since to copy the weights of a large
network takes longer than to run it on one image.

Nothing that is kept can be wrong. A tensor counts as known while nobody has written to it, which its version tells,
and of a buffer its numbers, since a batch norm in training writes to its own without a new version; a view is made
again each time; no run is given one tensor twice; a weight that any of its parameters was seen to write to is made
anew; and where random numbers are drawn, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from casestudies.checking.transplant import USUAL, Layout, adapt
from casestudies.sandboxed.walks import tensors_named

KEPT_BYTES = 96 * 2**20  # of results
PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.memory_format, type(Ellipsis))


_EXACTLY_PLAIN = frozenset(PLAIN)
# Of the operations that networks are made of those that draw nothing, whatever they are given. (A dropout draws.)
DRAWS_NOTHING = frozenset(
    (torch.conv2d, functional.batch_norm, functional.relu, functional.linear, functional.adaptive_avg_pool2d)
    + (functional.max_pool2d, functional.avg_pool2d, torch.flatten, torch.cat, torch.relu, Tensor.flatten)
    + (Tensor.add, Tensor.__add__, Tensor.mul, Tensor.__mul__, Tensor.mean, Tensor.view, Tensor.reshape)
)


class _Unknown(Exception):
    """Nobody knows where a tensor comes from."""


class Common:
    """The results of runs in which the inputs and the numbers of the weights are the same.

    >>> common, layer, x = Common(), nn.Linear(2, 3), torch.ones(1, 2)
    >>> common.load({"w": torch.ones(3, 2), "b": torch.zeros(3)}, layer, {"weight": "w", "bias": "b"})
    >>> for _ in range(2):
    ...     with common.sharing([x]), torch.no_grad():
    ...         y = layer(x)
    >>> y, common.computed, common.taken
    (tensor([[2., 2., 2.]]), 1, 1)
    """

    def __init__(self) -> None:
        self.token = object()  # of the marks that are ours
        self.numbers: dict[Any, int] = {}  # of where tensors come from
        # Weights, and the parameters that share each, with the versions that these had then.
        self.weights: dict[Any, tuple[Tensor, list[tuple[Tensor, int]]]] = {}
        self.kept: dict[int, tuple[Any, tuple[int, ...]]] = {}  # results, and the versions that they had
        self.bytes = 0
        self.inputs: list[Tensor] = []  # so that no other tensor gets the number of one of them
        self.computed = self.taken = 0  # results with a known origin: made, and given again

    def mark(self, tensor: Tensor, origin: Any, watched: bool = False) -> None:
        """Says where a tensor's numbers come from; those of a `watched` one are looked at again."""
        number = self.numbers.setdefault(origin, len(self.numbers))
        numbers = tensor.detach().clone() if watched else None
        tensor._comes_from = self.token, number, tensor._version, numbers  # type: ignore[attr-defined]

    def origin(self, tensor: Tensor) -> int | None:
        """The number of where a tensor's numbers come from; None where nobody knows, or they were written since."""
        token, number, version, numbers = getattr(tensor, "_comes_from", (None, None, -1, None))
        if token is not self.token or version != tensor._version:
            return None
        return number if numbers is None or torch.equal(numbers, tensor) else None

    def load(
        self,
        state: Mapping[str, Tensor],
        module: nn.Module,
        matching: Mapping[str, str],
        layout: Layout = USUAL,
    ) -> None:
        """As `transplant`, without copying a weight that is known already, and marks the weights."""
        named = tensors_named(module)
        with torch.no_grad():
            for ours, theirs in matching.items():
                own = named[ours]
                origin = "weight", theirs, tuple(own.shape), own.dtype, layout
                known = self.numbers.get(origin, -1) == self.origin(own)
                if isinstance(own, nn.Parameter):
                    if not known or self._written(origin) or not self._shares(own, origin):
                        self._share(origin, own, state[theirs], layout)
                        self.mark(own, origin)
                elif not known:  # training writes to it
                    own.copy_(adapt(state[theirs], tuple(own.shape), layout))
                    self.mark(own, origin, watched=True)

    def _written(self, origin: Any) -> bool:
        """Whether a parameter with this weight was written to, and so perhaps the memory that others have, too."""
        return any(each._version != version for each, version in self.weights[origin][1])

    def _shares(self, own: nn.Parameter, origin: Any) -> bool:
        return own.data_ptr() == self.weights[origin][0].data_ptr()

    def _share(self, origin: Any, own: nn.Parameter, value: Tensor, layout: Layout) -> None:
        """Puts a weight into a parameter, in memory that others with the same weight have, too."""
        if origin in self.weights and not self._written(origin):
            weight, sharing = self.weights[origin]
        else:
            weight = torch.empty(own.shape, dtype=own.dtype).copy_(adapt(value, tuple(own.shape), layout))
            sharing = []
        own.data = weight
        sharing.append((own, own._version))
        self.weights[origin] = weight, sharing

    def sharing(self, inputs: Sequence[Tensor]) -> TorchFunctionMode:
        """In this, what is run on these inputs without gradients takes what is kept, and keeps what is new."""
        for x in inputs:
            if self.origin(x) is None:
                self.inputs.append(x)
                self.mark(x, ("input", len(self.inputs)))
        return _Sharing(self)


class _Sharing(TorchFunctionMode):
    def __init__(self, common: Common) -> None:
        super().__init__()
        self.common = common
        self.given: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        common = self.common
        if getattr(func, "__name__", "") == "__get__" or torch.is_inference_mode_enabled():
            return func(*args, **kwargs)
        try:
            origin = func, self._described(args), self._described(tuple(sorted(kwargs.items())))
        except _Unknown:
            return func(*args, **kwargs)
        number = common.numbers.setdefault(origin, len(common.numbers))
        found = common.kept.get(number)
        if found is not None and number not in self.given:
            result, versions = found
            if versions == tuple(each._version for each in _tensors(result)):
                self.given.add(number)
                common.taken += 1
                return result
            common.bytes -= _size(result)
            del common.kept[number]
        read = list(_tensors((args, tuple(kwargs.values()))))
        before = [each._version for each in read]
        drawn = None if func in DRAWS_NOTHING else torch.default_generator.get_state()
        result = func(*args, **kwargs)
        made = list(_tensors(result))
        if (
            not made
            or any(each.requires_grad for each in made)
            or before != [each._version for each in read]
            or (drawn is not None and not torch.equal(drawn, torch.default_generator.get_state()))
        ):
            return result
        common.computed += 1
        for place, each in enumerate(made):
            if common.origin(each) is None:
                common.mark(each, (number, place))
        memory = {each.untyped_storage().data_ptr() for each in read}
        size = _size(result)
        if (
            memory.isdisjoint(each.untyped_storage().data_ptr() for each in made)
            and number not in self.given
            and common.bytes + size <= KEPT_BYTES
        ):
            common.kept[number] = result, tuple(each._version for each in made)
            common.bytes += size
            self.given.add(number)
        return result

    def _described(self, value: Any) -> Any:
        """What an argument is, so that equal ones are equal and others are not. Raises _Unknown."""
        kind = type(value)
        if kind in _EXACTLY_PLAIN:
            return kind, value
        if isinstance(value, Tensor):
            if value.requires_grad and torch.is_grad_enabled():
                raise _Unknown
            number = self.common.origin(value)
            if number is None:
                raise _Unknown
            return Tensor, number
        if isinstance(value, (tuple, list)):
            return type(value), tuple([self._described(each) for each in value])
        if isinstance(value, slice):
            return slice, tuple([self._described(each) for each in (value.start, value.stop, value.step)])
        if isinstance(value, PLAIN):
            return type(value), value
        raise _Unknown


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)


def _size(value: Any) -> int:
    return sum(each.nbytes for each in _tensors(value))
