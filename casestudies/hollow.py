"""Run a network without computing anything, and leave it as it was: what `casestudies.graph` needs for that.

A `Hollow` tensor has a shape, strides, a dtype and a device, and no contents. It says that it is on the device on
which the network is, so that the network takes the way that it takes with real images: the same branches, the same
operations, the same casts. `Untouched` remembers what a module holds in Python and puts it back.

Torch and the standard library are all that this file needs: it runs beside a student's code.
"""

from __future__ import annotations

import collections
import random
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn


class Refusal(ValueError, RuntimeError):
    """The network cannot be recorded, whatever it is given; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this cannot be recorded: {reason}")


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dictionaries. Raises ValueError for one that contains itself.

    (A list, because nested generators are slow, and every operation that is watched asks for this.)
    """
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    if isinstance(value, (tuple, list, dict)):
        _collect(value, found, (id(value),))
    return found


MOST_NESTED = 100  # tuples in tuples
_WITHOUT_TENSORS = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout})


def _collect(value: Any, found: list[Tensor], inside: tuple[int, ...]) -> None:
    """Adds the tensors in `value`; `inside` are the ids of what is around them."""
    for item in value.values() if isinstance(value, dict) else value:
        if type(item) in _WITHOUT_TENSORS:  # most are: the numbers of a stride, say
            continue
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (tuple, list, dict)):
            if id(item) in inside or len(inside) > MOST_NESTED:
                what = "contains itself" if id(item) in inside else f"is nested more than {MOST_NESTED} deep"
                raise Refusal(f"a {type(item).__name__} {what}; pass and return tuples of tensors")
            _collect(item, found, (*inside, id(item)))


class NoContents(RuntimeError):
    """The network asks for the numbers of a tensor that has none.

    A recording hears of it by `asked_for`, also where the network catches the error and goes on.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        for found in _LISTENING[-1:]:
            found.append(self)


_LISTENING: list[list[NoContents]] = []  # one list for each recording at work, the innermost last


@contextmanager
def asked_for() -> Iterator[list[NoContents]]:
    """Collect every NoContents that is raised meanwhile, in whatever thread."""
    _LISTENING.append([])
    try:
        yield _LISTENING[-1]
    finally:
        _LISTENING.pop()


ELSEWHERE = (
    "a tensor without contents was used outside of the recording that made it, or in another thread; record the "
    "network in one thread, and keep none of its tensors"
)


EARLIER = (
    "a tensor without contents, of an earlier recording, was kept outside of the network's modules, as in a "
    "global dictionary or by functools.lru_cache; clear that cache, and run the network once on real tensors before "
    "it is recorded, so that the cache holds real ones"
)


class Owner:
    """Stands for one recording in the tensors that it makes, which may outlive it."""

    over = False


TRANSFORMED = "uses a transform of torch.func, such as grad or vjp, which asks tensors for contents"


class Hollow(Tensor):
    """A tensor without contents on the network's own device; `hollow` and `like` make one.

    `number` is the value that it is in the recording of its `owner`, `shadow` a tensor of the meta device that
    torch's rules for shapes work with (made when it is needed, of the shadow of `base` where this is a view of that),
    and `origin` the tensor that it stands for.
    """

    number: int = -1
    owner: Owner | None = None
    shadow: Tensor | None = None
    base: Hollow | None = None
    origin: Tensor | None = None
    _is_param = False

    # Torch's functions need not ask this class first, so an operation takes little longer than on a plain tensor.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if any(_is_over(each) for each in (*tensors_in(args), *tensors_in(kwargs))):
            raise NoContents(EARLIER)
        raise NoContents(TRANSFORMED if _transformed() else ELSEWHERE)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"tensor(without contents, shape={tuple(self.shape)}, dtype={self.dtype})"

    def numpy(self, *, force: bool = False) -> Any:
        raise NoContents(EARLIER if _is_over(self) else "numpy()")

    def tolist(self) -> Any:
        raise NoContents(EARLIER if _is_over(self) else "tolist()")

    def __array__(self, *arguments: Any, **named: Any) -> Any:
        raise NoContents(EARLIER if _is_over(self) else "an array of NumPy")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NoContents(EARLIER if _is_over(self) else "its contents, to store them")

    def __format__(self, spec: str) -> str:
        if spec and not self.dim():
            raise NoContents(EARLIER if _is_over(self) else "an f-string or format()")
        return super().__format__(spec)

    def as_subclass(self, cls: Any) -> Any:  # by which torch gives results the class of a parameter
        return self


Hollow.__name__ = Hollow.__qualname__ = "Tensor"  # as which Python's messages on it speak of it


def _is_over(tensor: Tensor) -> bool:
    """Whether the recording that made a tensor without contents has ended."""
    return type(tensor) is Hollow and tensor.owner is not None and tensor.owner.over


def _transformed() -> bool:
    """Whether a transform of torch.func is at work."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith("torch._functorch"):
            return True
        frame = frame.f_back
    return False


_make = torch.Tensor._make_wrapper_subclass


def hollow(shape: Any, dtype: torch.dtype, device: torch.device) -> Hollow:
    """Make a contiguous tensor without contents."""
    made: Hollow = _make(Hollow, shape, dtype=dtype, device=device)
    return made


def like(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Hollow:
    """Make one with the shape and memory layout of `tensor`."""
    made: Hollow = _make(
        Hollow,
        tensor.shape,
        tensor.stride(),
        tensor.storage_offset(),
        dtype=dtype or tensor.dtype,
        device=device,
    )
    return _marked(made, tensor)


def _marked(made: Hollow, tensor: Tensor) -> Hollow:
    """Mark a tensor as conjugated or negated where another is: torch computes that when it is needed."""
    if tensor.is_conj():
        torch._C._set_conj(made, True)
    if tensor.is_neg():
        torch._C._set_neg(made, True)
    return made


def shadow(tensor: Hollow) -> Tensor:
    """The tensor of the meta device with which torch works out shapes."""
    found = tensor.shadow
    if found is None:
        shape, stride, offset = tensor.shape, tensor.stride(), tensor.storage_offset()
        if tensor.base is not None:
            found = shadow(tensor.base).as_strided(shape, stride, offset)
        elif offset:
            span = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 1
            whole = torch.empty(max(span, 0), dtype=tensor.dtype, device="meta")
            found = whole.as_strided(shape, stride, offset)
        else:
            found = torch.empty_strided(shape, stride, dtype=tensor.dtype, device="meta")
        tensor.shadow = found
    return found


def view_of(base: Hollow, shape: Any, stride: Any) -> Hollow:
    """Make one that lies in the memory of another."""
    made: Hollow = _make(Hollow, shape, stride, base.storage_offset(), dtype=base.dtype, device=base.device)
    made.base, made.number, made.owner = base, base.number, base.owner
    return _marked(made, base)


def memory_of(tensor: Tensor) -> int | None:
    """What tells a tensor's memory from that of others, as long as it lives; None where it has none of its own."""
    try:
        # (`untyped_storage` would do, but it makes an object that lives as long as the memory.)
        found: int = torch._C._storage_address(tensor)  # type: ignore[attr-defined]
    except (NotImplementedError, RuntimeError):  # sparse tensors, for example
        return None
    return found


# ------------------------------------------------------------------------------------ a module left as it was


class Untouched:
    """Remembers what a module and its parts hold: attributes, lists, dictionaries and objects among them.

    `put_back` restores whatever has changed: layers and tables that the network made at its first
    run, counters, hooks, modes, gradients, and the memory of a tensor to which the network assigned another
    (`weight.data = ...`), which may be a tensor without contents. Tensors are not copied; see `before_writing`. It
    also restores generators of random numbers, and what torch keeps for all, such as its default dtype. Iterators
    cannot be put back.
    """

    def __init__(self, module: nn.Module) -> None:
        # Dictionaries, and what they held: names, the places of empty containers, and values. Modules of one class
        # share the former two.
        self.attributes: list[tuple[dict[Any, Any], tuple[Any, ...], tuple[int, ...], tuple[Any, ...]]] = []
        self.items: list[tuple[Any, list[Any]]] = []  # of lists, sets and queues
        self.empty: list[Any] = []
        self.numbers: list[tuple[Tensor, Tensor]] = []
        self.copied: set[int] = set()
        # Each tensor, a second handle of its memory, whether it requires a gradient, and the one that it has.
        self.tensors: list[tuple[Tensor, Tensor, bool, Tensor | None]] = []
        # Tensors of the meta device, which have no contents to keep: by shape, strides, dtype and whether they
        # require a gradient. (Those that have one are among the others.)
        self.shapes: dict[tuple[Any, ...], list[Tensor]] = {}
        strict = torch.are_deterministic_algorithms_enabled()
        mild = torch.is_deterministic_algorithms_warn_only_enabled()
        # What puts back what can be set to a state.
        self.states: list[Callable[[], object]] = [
            *random_states(),
            partial(torch.set_default_dtype, torch.get_default_dtype()),
            partial(torch._C._set_deterministic_algorithms, strict, warn_only=mild),
            partial(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled()),
        ]
        self.slots: list[tuple[Any, list[tuple[Any, Any]]]] = []  # of objects
        self._remember(module)

    def _remember(self, start: Any) -> None:
        todo = [start]
        seen: set[int] = set()
        plain, containers, empty = _PLAIN, _CONTAINERS, self.empty.append
        shared: dict[Any, Any] = {}
        while todo:
            thing = todo.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            kind = type(thing)
            found: Any = None
            if isinstance(thing, Tensor):
                gradient = thing.grad if thing.is_leaf else None
                if thing.is_meta and thing.layout == torch.strided and gradient is None:
                    key = thing.shape, thing.stride(), thing.dtype, thing.requires_grad
                    self.shapes.setdefault(key, []).append(thing)
                else:
                    self.tensors.append((thing, thing.data, thing.requires_grad, gradient))
                continue
            if isinstance(thing, (nn.Module, dict)):
                held = thing.__dict__ if isinstance(thing, nn.Module) else thing
                names, found = tuple(held), tuple(held.values())
                places = []
                for i, value in enumerate(found):
                    kind = type(value)
                    if kind in containers and not value:
                        places.append(i)
                    elif kind not in plain:
                        todo.append(value)
                blank = tuple(places)
                if held is not thing:
                    names, blank = shared.setdefault(names, names), shared.setdefault(blank, blank)
                self.attributes.append((held, names, blank, found))
                continue
            if isinstance(thing, (list, set, collections.deque)):
                self.items.append((thing, list(thing)))
                found = thing
            elif isinstance(thing, (tuple, frozenset)):
                found = thing
            elif kind is types.MethodType:
                found = (thing.__self__,)
            elif (state := _state(thing)) is not None:
                self.states.append(state)
            elif _is_plain_object(kind):
                slots = slots_of(thing)
                if slots:
                    self.slots.append((thing, slots))
                found = [getattr(thing, "__dict__", None), *[item for _, item in slots]]
            for value in found or ():
                kind = type(value)
                if kind in plain:
                    continue
                if kind in containers and not value:
                    empty(value)
                else:
                    todo.append(value)

    def before_writing(self, tensor: Tensor) -> None:
        """Keep the numbers of a real tensor that is about to be changed."""
        if id(tensor) not in self.copied:
            self.copied.add(id(tensor))
            self.numbers.append((tensor, tensor.detach().clone()))

    def put_back(self) -> None:
        self._put_tensors_back()
        for thing in self.empty:
            if thing:
                thing.clear()
        for thing, names, blank, held in self.attributes:
            for place in blank:
                if held[place]:
                    held[place].clear()
            same = len(thing) == len(names) and all(map(is_, thing, names))
            if not same or not all(map(is_, thing.values(), held)):
                thing.clear()
                thing.update(zip(names, held, strict=True))
        for thing, items in self.items:
            if isinstance(thing, set):
                changed = len(thing) != len(items) or not thing.issuperset(items)
            else:
                changed = len(thing) != len(items) or not all(map(is_, thing, items))
            if changed:
                thing.clear()
                (thing.update if isinstance(thing, set) else thing.extend)(items)
        for thing, slots in self.slots:
            for slot, _ in slots_of(thing):
                slot.__delete__(thing)
            for slot, value in slots:
                slot.__set__(thing, value)
        for tensor, numbers in self.numbers:
            with torch.no_grad():
                if tensor.shape == numbers.shape:
                    tensor.detach().copy_(numbers)
                else:
                    tensor.data = numbers
        for put_back in self.states:
            put_back()

    def _put_tensors_back(self) -> None:
        for tensor, handle, required, gradient in self.tensors:
            if memory_of(tensor) != memory_of(handle):
                tensor.data = handle
            _put_gradient_back(tensor, required, gradient)
        for (*laid, dtype, required), tensors in self.shapes.items():
            for tensor in tensors:
                if [tensor.shape, tensor.stride(), tensor.dtype] != [*laid, dtype] or not tensor.is_meta:
                    tensor.data = torch.empty_strided(*laid, dtype=dtype, device="meta")
                _put_gradient_back(tensor, required, None)


def _put_gradient_back(tensor: Tensor, required: bool, gradient: Tensor | None) -> None:
    if tensor.is_leaf:
        if tensor.requires_grad is not required:
            tensor.requires_grad_(required)
        if tensor.grad is not gradient:
            tensor.grad = gradient


def slots_of(thing: Any) -> list[tuple[Any, Any]]:
    """What an object holds in `__slots__`: each slot that has a value, as a descriptor, and the value."""
    return [
        (slot, slot.__get__(thing))
        for kind in type(thing).__mro__
        for slot in vars(kind).values()
        if "__slots__" in vars(kind) and type(slot) is types.MemberDescriptorType and _is_set(slot, thing)
    ]


def _is_set(slot: Any, thing: Any) -> bool:
    try:
        slot.__get__(thing)
    except AttributeError:
        return False
    return True


def random_states() -> list[Callable[[], object]]:
    """What puts back the random numbers of torch, Python and NumPy."""
    found: list[Callable[[], object]] = [
        partial(torch.set_rng_state, torch.get_rng_state()), partial(random.setstate, random.getstate()),
    ]  # fmt: skip
    if (numpy := sys.modules.get("numpy.random")) is not None:
        found.append(partial(numpy.set_state, numpy.get_state()))
    return found


def _state(thing: Any) -> Callable[[], object] | None:
    """What puts back a generator of random numbers, or numbers that lie outside of torch; None for another object."""
    if isinstance(thing, bytearray):
        return partial(thing.__setitem__, slice(None), bytes(thing))
    if isinstance(thing, torch.Generator):
        return partial(thing.set_state, thing.get_state())
    if isinstance(thing, random.Random) and not isinstance(thing, random.SystemRandom):
        return partial(thing.setstate, thing.getstate())
    numpy, draws = sys.modules.get("numpy"), sys.modules.get("numpy.random")
    if numpy is not None and isinstance(thing, numpy.ndarray) and thing.flags.writeable:
        return partial(numpy.copyto, thing, thing.copy())
    if draws is not None and isinstance(thing, draws.RandomState):
        return partial(thing.set_state, thing.get_state())
    if draws is not None and isinstance(thing, draws.Generator):
        return partial(setattr, thing.bit_generator, "state", thing.bit_generator.state)
    return None


# Types that hold nothing that a run could change, or nothing of the module's own.
_PLAIN = {
    type(None), bool, int, float, complex, str, bytes, type, types.FunctionType, types.BuiltinFunctionType,
    types.ModuleType, torch.Size, torch.dtype, torch.device, Hollow,
}  # fmt: skip
_CONTAINERS = {dict, collections.OrderedDict, collections.defaultdict, list, set, collections.deque}
_CACHE: dict[type, bool] = {}


def _is_plain_object(kind: type) -> bool:
    """Whether instances of a class may hold parts of a network; those of Python itself and of torch do not."""
    found = _CACHE.get(kind)
    if found is None:
        root = str(kind.__module__).partition(".")[0]
        found = root not in sys.stdlib_module_names or root == "__main__" or kind is types.SimpleNamespace
        found = found and root != "torch" and not issubclass(kind, (Tensor, type))
        _CACHE[kind] = found
    return found


def module_at(tree: nn.Module, module: nn.Module) -> str | None:
    """The path of a module in a network as it is now; None where it is no part of it."""
    return next((path for path, each in tree.named_modules() if each is module), None)
