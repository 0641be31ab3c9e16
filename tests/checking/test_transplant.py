"""Weights are carried from one style into another by when they are used, never by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.transplant import adapt, matchings, slots_of, transplant
from casestudies.networks import resnet
from casestudies.zoo.matching import match_in_order


class Backwards(nn.Module):
    """A basic block registered backwards, with the shortcut computed first."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.n2, self.ns, self.n1 = (nn.BatchNorm2d(out_channels) for _ in range(3))
        self.c2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.cs = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.c1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        carried = self.ns(self.cs(x))
        return (carried + self.n2(self.c2(self.n1(self.c1(x)).relu()))).relu()


class Twins(nn.Module):
    """Two branches that nothing tells apart but what is done with them afterwards."""

    def __init__(self, swapped: bool) -> None:
        super().__init__()
        self.swapped = swapped
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.swapped:  # the same sum, computed in the other order
            second = self.b(x)
            return self.a(x) + 2 * second
        return self.a(x) + 2 * self.b(x)


def randomise(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
    return module.eval()


def test_another_style() -> None:
    x = torch.randn(2, 4, 7, 6)
    theirs, ours = randomise(Backwards(4, 6, 2)), randomise(resnet.BasicBlock(4, 6, 2))
    matching = next(matchings(slots_of(theirs, [x]), slots_of(ours, [x])))
    transplant(theirs.state_dict(), ours, matching)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_ties_are_tried() -> None:
    x = torch.randn(2, 3, 5, 4)
    theirs, ours = randomise(Twins(True)), randomise(Twins(False))

    def agrees(matching: dict[str, str]) -> bool:
        transplant(theirs.state_dict(), ours, matching)
        return torch.allclose(ours(x), theirs(x), atol=1e-5)

    tried = [agrees(matching) for matching in matchings(slots_of(theirs, [x]), slots_of(ours, [x]))]
    assert any(tried) and not all(tried)


def test_other_shapes_do_not_match() -> None:
    x = torch.randn(1, 4, 6, 6)
    slots = (slots_of(resnet.BasicBlock(4, 4), [x]), slots_of(resnet.BasicBlock(4, 4, option="C"), [x]))
    assert list(matchings(*slots)) == []


@pytest.mark.parametrize(
    ("shape", "target"),
    [((5, 3), (5, 3, 1, 1)), ((3, 5), (5, 3)), ((1, 6, 1, 1), (6,)), ((4, 3, 3), (4, 1, 3, 3))],
)
def test_adapt_keeps_every_value(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    value = torch.randn(shape)
    adapted = adapt(value, target)
    assert adapted.shape == target and torch.equal(adapted.flatten().sort()[0], value.flatten().sort()[0])


def test_adapt_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match="permuted|fit"):
        adapt(torch.zeros(4, 3), (5, 3))


def test_a_saved_state_in_order() -> None:
    x = torch.zeros(1, 3, 16, 16)
    saved = resnet.cifar_resnet(20).state_dict()
    renamed = {f"layer.{i}.{name.rpartition('.')[2]}": value for i, (name, value) in enumerate(saved.items())}
    matching = match_in_order(renamed, resnet.cifar_resnet(20), [x])
    assert all(torch.equal(renamed[theirs], saved[ours]) for ours, theirs in matching.items())


def test_a_saved_state_that_lacks_something() -> None:
    saved = resnet.cifar_resnet(20).state_dict()
    saved.pop("head.2.bias")
    with pytest.raises(ValueError, match=r"no parameter of shape \(10,\) left for head.2.bias"):
        match_in_order(saved, resnet.cifar_resnet(20), [torch.zeros(1, 3, 16, 16)])


def test_a_saved_state_with_something_left_over() -> None:
    saved = resnet.cifar_resnet(20).state_dict() | {"extra.weight": torch.zeros(3, 3)}
    with pytest.raises(ValueError, match="1 entries that the network does not use, such as 'extra.weight'"):
        match_in_order(saved, resnet.cifar_resnet(20), [torch.zeros(1, 3, 16, 16)])


def test_square_matrices_may_be_transposed_beside_convolutions_that_are_not():
    class Mix(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(channels, channels))  # (in, out)
            self.bias = nn.Parameter(torch.zeros(channels))

        def forward(self, x):
            return torch.einsum("bihw,io->bohw", x, self.weight) + self.bias[:, None, None]

    def block(by_hand):
        class Block(nn.Module):
            def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
                super().__init__()
                self.see = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
                self.one, self.other = by_hand(out_channels), nn.Conv2d(out_channels, out_channels, 1)

            def forward(self, x):
                return self.other(self.one(self.see(x).relu()).relu()).relu()

        return Block

    for seed in range(3):
        assert check("nin/nin_block", block(Mix), seed=seed).passed
