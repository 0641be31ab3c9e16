"""Other counters: what they count besides is explained to the last MAC."""

from __future__ import annotations

import pytest
import torch

from casestudies import zoo
from casestudies.against import TOOLS, against, explain, installed
from casestudies.graph import record
from casestudies.zoo import VARIANTS

# Tool, network, and what the tool printed: torchinfo 1.8.0, fvcore 0.1.5, ptflops 0.7.5, with torch 2.13.
PRINTED = [
    ("torchinfo", "resnet18", 1_814_083_944),
    ("torchinfo", "googlenet", 1_585_899_032),
    ("torchinfo", "alexnet_2012", 725_066_088),
    ("torchinfo", "efficientnet_b0", 385_867_108),
    ("fvcore", "resnet18", 1_819_065_856),
    ("fvcore", "mobilenet_v2", 314_193_216),
    ("fvcore", "efficientnet_b0", 401_659_392),
    ("fvcore", "alexnet_2012", 724_406_816),
    ("ptflops", "resnet18", 1_824_561_128),
    ("ptflops", "googlenet", 1_601_439_480),
    ("ptflops", "efficientnet_b0", 410_196_896),
    ("ptflops", "lenet5", 435_646),
]


def graph_of(name: str):
    return record(zoo.skeleton(name), torch.empty(1, *VARIANTS[name].image, device="meta"))


@pytest.mark.parametrize("tool, name, printed", PRINTED)
def test_what_a_tool_printed_is_explained_by_its_convention(tool, name, printed):
    found = explain(tool, graph_of(name), printed)
    assert sum(line.macs for line in found.lines) == found.difference == printed - found.ours
    assert not [line for line in found.lines if "not explained" in line.reason]


def test_what_no_rule_explains_is_a_line_of_its_own():
    found = explain("fvcore", graph_of("lenet5"), 416_520 + 7)
    assert [(line.reason, line.macs) for line in found.lines] == [
        ("not explained by the tool's convention", 7)
    ]
    assert "+7" in str(found)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_itself_is_explained_where_it_is_installed(tool):
    if tool not in installed():
        pytest.skip(f"{tool} is not installed")
    (found,) = against(zoo.build("lenet5"), (1, 32, 32), [tool])
    assert not [line for line in found.lines if "not explained" in line.reason], found


@pytest.mark.parametrize(
    "tools, message",
    [(["thop"], "tool is 'thop'; expected some of torchinfo"), (["torchinfo"], "not installed here")],
)
def test_a_tool_that_cannot_be_asked_is_named(tools, message, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=message):
        against(zoo.build("lenet5"), (1, 32, 32), tools)
