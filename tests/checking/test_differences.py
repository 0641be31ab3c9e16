"""What a report shows beside the points: what was written beside what is asked, for slips that nobody listed."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.differences import Work, compare_layers
from casestudies.checking.layers import layers_of
from casestudies.graph import record


def basic_block(
    activation=nn.ReLU, first=3, groups=1, eps=1e-5, momentum=0.1, rate=0.0, swapped=False,
    shortcut=lambda x: x, total=lambda x: x,
):  # fmt: skip
    """A class of basic blocks; without arguments, the right one."""

    class BasicBlock(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(in_channels, out_channels, first, stride, first // 2, bias=False)
            self.norm1 = nn.BatchNorm2d(out_channels, eps=eps, momentum=momentum)
            self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False, groups=groups)
            self.norm2 = nn.BatchNorm2d(out_channels)
            self.activation, self.dropout = activation(), nn.Dropout(rate) if rate else nn.Identity()
            self.shortcut = nn.Sequential()
            if stride != 1 or in_channels != out_channels:
                conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

        def forward(self, x: Tensor) -> Tensor:
            out = self.conv1(x)
            out = self.norm1(self.activation(out)) if swapped else self.activation(self.norm1(out))
            out = self.norm2(self.conv2(self.dropout(out)))
            return self.activation(total(out + shortcut(self.shortcut(x))))

    return BasicBlock


# What is otherwise, and the sentences that say so: these and no others.
SLIPS = [
    (dict(total=lambda x: x / 2), {"There is a multiplication by 0.5 after the sum; none is asked for there."}),
    (dict(shortcut=F.relu), {"There is a ReLU on the block's input; none is asked for there."}),
    (dict(eps=0.1), {"Batch norm 1 of 2 has eps 0.1 instead of eps 1e-05."}),
    (dict(momentum=0.5), {"Batch norm 1 of 2 has momentum 0.5 instead of momentum 0.1."}),
    (dict(rate=0.3), {"There is dropout, rate 0.3 after ReLU 1 of 2; none is asked for there."}),
    (dict(groups=2), {"3×3 convolution 2 of 2 has 2 groups instead of 1 group."}),
    (
        dict(swapped=True),
        {"Batch norm 1 of 2 comes after ReLU 1 of 2 instead of before it."},
    ),
    (
        dict(activation=lambda: nn.GELU("tanh")),
        {
            "GELU, approximated by tanh stands in the place of ReLU, after batch norm 1 of 2.",
            "GELU, approximated by tanh stands in the place of ReLU, after the sum.",
        },
    ),
    (
        dict(activation=nn.LeakyReLU),
        {
            "LeakyReLU, slope 0.01 stands in the place of ReLU, after batch norm 1 of 2.",
            "LeakyReLU, slope 0.01 stands in the place of ReLU, after the sum.",
        },
    ),
    (
        dict(groups=2, eps=0.1, total=lambda x: x / 2),
        {
            "3×3 convolution 2 of 2 has 2 groups instead of 1 group.",
            "Batch norm 1 of 2 has eps 0.1 instead of eps 1e-05.",
            "There is a multiplication by 0.5 after the sum; none is asked for there.",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("slips", "sentences"), SLIPS, ids=lambda value: "-".join(sorted(value)))
def test_the_slips_are_told_and_nothing_else(slips, sentences):
    report = check("resnet/basic_block", basic_block(**slips), seed=1)
    assert {each["sentence"] for each in report.differences} == sentences
    assert not report.passed


def test_a_right_block_has_no_differences():
    report = check("resnet/basic_block", basic_block(), seed=1)
    assert report.passed and not report.differences and not report.layers


def test_another_style_of_a_right_layer_is_not_told():
    by_hand = partial(basic_block, total=lambda x: x / 2)(activation=lambda: Clamped())
    report = check("resnet/basic_block", by_hand, seed=1)
    assert [each["yours"] for each in report.differences] == ["multiplication by 0.5"]


class Clamped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)


def test_a_forward_that_looks_at_values_is_not_explained():
    """What a recording of other inputs does not give is not its behaviour."""

    def total(x: Tensor) -> Tensor:
        return x * float(x.detach().sum())

    report = check("resnet/basic_block", basic_block(total=total), seed=1)
    assert not report.passed and not report.differences


def test_both_columns_are_shown_with_the_case_and_the_line_marked():
    report = check("resnet/basic_block", basic_block(groups=2), seed=1)
    assert report.case in report.text() and report.case in report.html()
    assert [row["yours"] for row in report.layers if not row["same"]] == ["3×3 convolution, 6 → 6, 2 groups"]
    assert report.text().count("<-- here") == 1


def test_differences_survive_the_way_through_plain_data():
    report = check("resnet/basic_block", basic_block(groups=2), seed=1)
    assert type(report).from_dict(report.to_dict()) == report


class TwoSlips(basic_block()):
    """One slip that every case shows, and one that only a projection shows."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        if len(self.shortcut):
            self.shortcut = self.shortcut[0]

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.leaky_relu(out + self.shortcut(x))


def test_each_case_adds_what_the_cases_before_it_do_not_show():
    report = check("resnet/basic_block", TwoSlips, seed=1)
    said = {each["case"]: each["sentence"] for each in report.differences}
    assert said == {
        "BasicBlock(6, 6) on 3×6×7×5": "LeakyReLU, slope 0.01 stands in the place of ReLU, after the sum.",
        "BasicBlock(4, 4, 2) on 4×4×8×6": "Batch norm is missing after the 1×1 convolution.",
    }
    assert [report.case, *(each["case"] for each in report.others)] == list(said)
    for shown in (report.text(), report.html(), report.summary):
        assert all(sentence in shown for sentence in said.values())
    assert all(case in report.text() and case in report.html() for case in said)


def test_the_same_slip_in_another_case_is_not_told_again():
    report = check("resnet/basic_block", basic_block(eps=0.1), seed=1)
    assert len(report.differences) == 1 and not report.others


def mbconv(activation=nn.SiLU, gate_activation=F.silu):
    """A class of MBConv blocks whose gate is made of linear layers; without arguments, the right one."""

    class Gate(nn.Module):
        def __init__(self, channels: int, squeezed: int) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

        def forward(self, x: Tensor) -> Tensor:
            gate = self.up(gate_activation(self.down(x.mean(dim=(2, 3))))).sigmoid()
            return x * gate[:, :, None, None]

    def norm(channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, expansion=6) -> None:
            super().__init__()
            wide, kernel = in_channels * expansion, kernel_size
            layers = []
            if expansion != 1:
                layers += [nn.Conv2d(in_channels, wide, 1, bias=False), norm(wide), activation()]
            deep = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
            layers += [deep, norm(wide), nn.SiLU(), Gate(wide, max(1, in_channels // 4))]
            layers += [nn.Conv2d(wide, out_channels, 1, bias=False), norm(out_channels)]
            self.layers, self.adds = nn.Sequential(*layers), stride == 1 and in_channels == out_channels

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x) + x if self.adds else self.layers(x)

    return MBConv


def test_a_gate_of_linear_layers_is_right():
    assert check("efficientnet/mbconv", mbconv(), seed=1).passed


@pytest.mark.parametrize("slip", [dict(activation=nn.ReLU), dict(gate_activation=F.relu)])
def test_a_gate_of_linear_layers_is_no_part_of_another_slip(slip):
    report = check("efficientnet/mbconv", mbconv(**slip), seed=1)
    assert report.differences and not any("inear" in str(each) for each in report.differences)
    assert {each["yours"] for each in report.differences} == {"ReLU"}


def test_the_search_ends_by_what_it_has_looked_at_and_not_by_a_clock():
    layers = layers_of(record(basic_block()(4, 4), torch.zeros(1, 4, 5, 5)))
    other = layers_of(record(basic_block(eps=0.1)(4, 4), torch.zeros(1, 4, 5, 5)))
    work = Work(10_000)
    assert len(compare_layers(layers, other, work=work).differences) == 1
    needed = 10_000 - work.left
    assert 0 < needed < 10_000
    assert compare_layers(layers, other, work=Work(needed)) is not None
    assert compare_layers(layers, other, work=Work(needed - 1)) is None


def test_a_block_that_cannot_be_compared_in_time_is_still_told_where_it_differs(monkeypatch):
    monkeypatch.setattr(blocks, "LAYERS_COMPARED", 1)
    report = check("resnet/basic_block", basic_block(eps=0.1, rate=0.3, total=lambda x: x / 2), seed=1)
    assert not report.passed and not report.layers and report.summary and report.place
