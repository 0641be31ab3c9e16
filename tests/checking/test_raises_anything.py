"""Answers that raise what is no Exception, recurse without end, or replace names of torch, end no kernel."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.engine import check
from casestudies.checking.replaced import replaced

BLOCK, FUNCTION = "resnet/basic_block", "lenet/conv_output_size"


class OfMyOwn(BaseException):
    pass


ANYTHING = [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException, OfMyOwn, MemoryError]


def block(forward: Callable[..., Tensor], built: Callable[[], Any] = lambda: None) -> type[nn.Module]:
    class BasicBlock(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            built()
            self.layer = nn.Conv2d(in_channels, out_channels, 1, stride)

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x)

    return BasicBlock


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("kind", ANYTHING)
def test_whatever_is_raised_is_told(kind: type[BaseException], hidden: bool) -> None:
    def raises(*_: Any, **__: Any) -> Any:
        raise kind

    for part, answer in (
        (FUNCTION, raises),
        (BLOCK, block(raises)),
        (BLOCK, block(lambda self, x: x, built=raises)),
    ):
        report = check(part, answer, hidden=hidden, seed=3)
        assert (report.state, report.points) == ("raised", 0)
        assert f"your code raised {kind.__name__}. Line " in report.summary
        assert report.summary.endswith("raise kind")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """An interrupt raises, as in a notebook; a shell that runs tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_by_hand_stays_one(interruptible: None) -> None:
    def waits(*_: Any, **__: Any) -> int:
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        for _ in range(3000):  # not for ever, if it never comes
            time.sleep(0.01)
        return 0

    with pytest.raises(KeyboardInterrupt):
        check(FUNCTION, waits, seed=3)


def test_an_answer_that_cannot_be_looked_at_is_one() -> None:
    class Hostile:
        @property
        def __class__(self) -> Any:  # type: ignore[override]
            raise KeyboardInterrupt

    assert check(FUNCTION, Hostile(), seed=3).state == "wrong kind"


@pytest.mark.parametrize("inside", [False, True])
def test_calls_without_end_raise_whatever_the_limit(inside: bool) -> None:
    def again(self: nn.Module, x: Tensor) -> Tensor:
        if inside:
            sys.setrecursionlimit(10**6)
        return self(x)

    before, setting = sys.getrecursionlimit(), sys.setrecursionlimit
    try:
        if not inside:
            sys.setrecursionlimit(10**6)
        limit = sys.getrecursionlimit()
        report = check(BLOCK, block(again), seed=3)
        assert report.state == "raised" and "RecursionError" in report.summary
        assert sys.setrecursionlimit is setting and (inside or sys.getrecursionlimit() == limit)
    finally:
        sys.setrecursionlimit(before)


NAMES = [(F, "relu", "torch.nn.functional"), (torch, "relu", "torch"), (F, "conv2d", "torch.nn.functional")]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(("place", "name", "path"), NAMES)
def test_nothing_is_compared_where_a_name_of_torch_is_replaced(
    place: Any, name: str, path: str, hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not replaced()
    monkeypatch.setattr(place, name, lambda x, *args, **kwargs: x)
    report = check(BLOCK, block(lambda self, x: F.relu(self.layer(x))), hidden=hidden, seed=3)
    assert (report.state, report.points) == ("ungradable", 0)
    assert report.summary.startswith(f"{path}.{name} has been replaced")


def test_a_class_in_the_place_of_another_is_seen_and_what_is_replaced_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nn, "Conv2d", nn.Linear)
    assert replaced() == "torch.nn.Conv2d"
    monkeypatch.undo()

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        monkeypatch.setattr(F, "relu", lambda x, inplace=False: -x)
        return F.relu(self.layer(x))

    assert "torch.nn.functional.relu has been replaced" in check(BLOCK, block(forward), seed=3).summary
