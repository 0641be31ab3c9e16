"""Blocks that compute in other threads, or make their layers late: what is said of them is true."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.engine import check
from casestudies.graph import record, record_until
from casestudies.sandboxed.probe import watch
from casestudies.sandboxed.threads import followed


class OutOfOrder(nn.Module):
    """A right block whose parameters are registered in another order than that of their use."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.project = stride, stride != 1 or in_channels != out_channels
        self.norm_2 = nn.BatchNorm2d(out_channels)
        self.w_2 = nn.Parameter(torch.randn(out_channels, out_channels, 3, 3))
        if self.project:
            self.norm_p = nn.BatchNorm2d(out_channels)
            self.w_p = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.norm_1 = nn.BatchNorm2d(out_channels)
        self.w_1 = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))

    def shortcut(self, x: Tensor) -> Tensor:
        return self.norm_p(F.conv2d(x, self.w_p, stride=self.stride)) if self.project else x

    def body(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm_1(F.conv2d(x, self.w_1, stride=self.stride, padding=1)))
        return self.norm_2(F.conv2d(y, self.w_2, padding=1))

    def whole(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))

    forward = whole


def as_here(work: Any, *arguments: Any) -> Any:
    """Work for another thread, with gradients as in this one."""
    grad = torch.is_grad_enabled()

    def run() -> Any:
        with torch.set_grad_enabled(grad):
            return work(*arguments)

    return run


class Branch(OutOfOrder):
    def other(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        work = as_here(self.shortcut, x)
        thread = threading.Thread(target=lambda: found.append(work()))
        thread.start()
        y = self.body(x)
        thread.join()
        return found[0] + y

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.other(x))


class BranchWithoutActivation(Branch):
    def forward(self, x: Tensor) -> Tensor:
        return self.other(x)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        made.submit(int).result()  # its worker was there before any block
        yield made


def in_a_pool(pool: ThreadPoolExecutor) -> type[nn.Module]:
    class InAPool(OutOfOrder):
        def forward(self, x: Tensor) -> Tensor:
            return pool.submit(as_here(self.whole, x)).result()

    return InAPool


def test_a_block_that_runs_in_a_pool_is_right(pool: ThreadPoolExecutor) -> None:
    report = check("resnet/basic_block", in_a_pool(pool), seed=3)
    assert (report.state, report.points) == ("passed", report.possible)


def test_a_branch_in_a_thread_is_right() -> None:
    report = check("resnet/basic_block", Branch, seed=3)
    assert (report.state, report.points) == ("passed", report.possible)


def test_a_mistake_beside_a_thread_is_named() -> None:
    report = check("resnet/basic_block", BranchWithoutActivation, seed=3)
    plain = type("BasicBlock", (OutOfOrder,), {"forward": lambda self, x: self.shortcut(x) + self.body(x)})
    other = check("resnet/basic_block", plain, seed=3)
    assert report.mistakes == other.mistakes != []
    assert report.points == other.points < report.possible


def test_what_cannot_be_seen_is_left_to_a_human() -> None:
    with ThreadPool(1) as pool:

        class Unseen(OutOfOrder):
            def forward(self, x: Tensor) -> Tensor:
                return pool.apply(as_here(self.whole, x))

        report = check("resnet/basic_block", Unseen, seed=3)
    assert report.state == "ungradable" and "where the check cannot look" in report.summary


@pytest.mark.parametrize("times", range(3))
def test_uses_and_graph_are_those_of_one_thread(pool: ThreadPoolExecutor, times: int) -> None:
    torch.manual_seed(times)
    plain, x = OutOfOrder(2, 4, 2).eval(), torch.randn(2, 2, 6, 6)
    for kind in (in_a_pool(pool), Branch):
        other = kind(2, 4, 2).eval()
        assert [use.name for use in watch(other, [x])[1]] == [use.name for use in watch(plain, [x])[1]]
        graph, error = record_until(other, x, grad=True, following=followed)
        assert error is None and graph == record(plain, x, grad=True)
        assert graph.functions == ()


def test_a_thread_that_waits_for_its_starter_is_not_waited_for() -> None:
    class Waiting(OutOfOrder):
        def forward(self, x: Tensor) -> Tensor:
            go, found, work = threading.Event(), [], as_here(self.whole, x)

            def run() -> None:
                go.wait()
                found.append(work())

            thread = threading.Thread(target=run)
            thread.start()
            go.set()
            thread.join()
            return found[0]

    _, uses = watch(Waiting(2, 4, 2), [torch.randn(2, 2, 6, 6)])
    assert {use.name for use in uses} >= {"w_1", "w_2", "w_p"}


def test_nothing_stays_in_place_and_nobody_else_is_followed() -> None:
    before = threading.Thread.start, ThreadPoolExecutor.submit
    entered, inside, done = [], threading.Event(), threading.Event()

    def stranger() -> None:
        inside.wait()
        other = threading.Thread(target=int)
        other.start()
        other.join()
        done.set()

    thread = threading.Thread(target=stranger)
    thread.start()

    def enter() -> Any:
        entered.append(threading.current_thread())
        return torch.no_grad()

    with followed(enter):
        inside.set()
        assert done.wait(10) and not entered
        mine = threading.Thread(target=int)
        mine.start()
        mine.join()
        assert entered == [mine]
    thread.join()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before


class Late(nn.Module):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.args, self.kwargs, self.inner = args, kwargs, None

    def forward(self, x: Tensor) -> Tensor:
        if self.inner is None:
            self.inner = OutOfOrder(*self.args, **self.kwargs).to(x)
        return self.inner(x)


class LateNorm(OutOfOrder):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.norm_1 = None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_1 is None:
            self.norm_1 = nn.BatchNorm2d(len(self.w_1)).to(x)
        return self.whole(x)


@pytest.mark.parametrize("late, name", [(Late, "inner.w_2"), (LateNorm, "norm_1.weight")])
def test_layers_that_are_made_in_forward_are_said_to_be(late: type[nn.Module], name: str) -> None:
    report = check("resnet/basic_block", late, seed=3)
    assert (report.state, report.points) == ("wrong", 0)
    assert f"{name} is made in forward" in report.summary and "__init__" in report.summary
