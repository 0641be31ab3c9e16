"""Other counters: what they count besides is explained to the last MAC."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import cli, zoo
from casestudies.against import TOOLS, Comparison, Failure, Tool, against, explain, installed
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
    ("ptflops", "lenet5_original", 338_492),
]


def graph_of(name: str):
    return record(zoo.skeleton(name), torch.empty(1, *VARIANTS[name].image, device="meta"))


def test_one_place_is_no_places():
    lines = str(explain("torchinfo", graph_of("googlenet"), 1_585_899_032)).splitlines()
    assert [line.split("  ")[-1] for line in lines[2:-1]] == ["57 places", "1 place"]


@pytest.mark.parametrize("tool, name, printed", PRINTED)
def test_what_a_tool_printed_is_explained_by_its_convention(tool, name, printed):
    found = explain(tool, graph_of(name), printed)
    assert sum(line.macs for line in found.lines) == found.difference == printed - found.ours
    assert not [line for line in found.lines if "not explained" in line.reason]


class Functional(nn.Module):
    """Pools that are functions; the last one reaches torch as a mean."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = F.adaptive_avg_pool2d(F.avg_pool2d(x, 2), 2)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


@pytest.mark.parametrize("tool, printed", [("torchinfo", 57_344), ("fvcore", 55_456), ("ptflops", 62_112)])
def test_pools_that_are_functions_are_explained(tool, printed):
    found = explain(tool, record(Functional(), torch.empty(1, 3, 16, 16, device="meta")), printed)
    assert found.ours == 55_296
    assert not [line for line in found.lines if "not explained" in line.reason], found


def test_what_no_rule_explains_is_a_line_of_its_own():
    found = explain("fvcore", graph_of("lenet5"), 416_520 + 7)
    assert [(line.reason, line.macs) for line in found.lines] == [
        ("not explained by the tool's convention", 7)
    ]
    assert "+7" in str(found)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_itself_is_explained_where_it_is_installed(tool):
    pytest.importorskip(tool, exc_type=ImportError, reason=f"{tool}, or what it imports, is not installed")
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


@pytest.fixture
def counter(monkeypatch):
    """A tool that is always there: it counts nothing, and changes the network that it is given."""

    def run(network, image):
        network.eval()
        network.register_buffer("counted", torch.ones(1))
        return 7

    monkeypatch.setitem(TOOLS, "torchinfo", Tool(run, lambda graph: iter(())))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    return run


def test_a_network_is_left_as_it_was(counter):
    network = zoo.build("lenet5")
    network.train()
    next(network.children()).eval()
    before = [(name, each.training) for name, each in network.named_modules()]
    against(network, (1, 32, 32), ["torchinfo"])
    assert [(name, each.training) for name, each in network.named_modules()] == before
    assert not dict(network.named_buffers())


@pytest.mark.parametrize(
    "tools", ["torchinfo", "torchinfo, ", " torchinfo,torchinfo", ["torchinfo"], ("torchinfo",)]
)
def test_tools_may_be_text(counter, tools):
    assert [each.theirs for each in against(zoo.build("lenet5"), (1, 32, 32), tools)] == [7]


@pytest.mark.parametrize(
    "network, image, tools, error, message",
    [
        ("lenet5", (1, 32, 32), ["torchinfo"], TypeError, "network is 'lenet5'"),
        (None, "abc", ["torchinfo"], ValueError, "image is 'abc'"),
        (None, (3, 8), ["torchinfo"], ValueError, r"image is \(3, 8\)"),
        (None, (1, 8, 8), ["torchinfo"], ValueError, "image is 1 x 8 x 8, too small"),
        (None, (1, 32, 32), 3, TypeError, "tools is 3; expected some of"),
        (None, (1, 32, 32), [3], ValueError, "tool is 3; expected some of"),
        (None, (1, 32, 32), [], ValueError, r"tools is \[\]; expected some of"),
    ],
)
def test_what_cannot_be_compared_is_named(counter, network, image, tools, error, message):
    with pytest.raises(error, match=message):
        against(network or zoo.build("lenet5"), image, tools)


@pytest.mark.parametrize(
    "raised, message",
    [
        (ImportError("no transformers"), "cannot be imported: no transformers"),
        (RuntimeError("hooks"), "torchinfo could not count LeNet5: hooks"),
    ],
)
def test_a_tool_that_fails_is_one_sentence(counter, monkeypatch, raised, message):
    def fail(network, image):
        raise raised

    monkeypatch.setitem(TOOLS, "torchinfo", Tool(fail, lambda graph: iter(())))
    with pytest.raises(ValueError, match=message):
        against(zoo.build("lenet5"), (1, 32, 32), "torchinfo")


@pytest.mark.parametrize("fails", [True, False])
def test_torch_is_left_as_it_was(counter, monkeypatch, fails):
    places = torch, F, torch.Tensor
    before = [dict(vars(place)) for place in places]

    def wrap(network, image):  # as ptflops and calflops do, which put it back only where they come to an end
        torch.rand(1)
        for place, name in (torch, "matmul"), (F, "relu"), (torch.Tensor, "split"):
            monkeypatch.setattr(place, name, lambda *arguments: None)
        torch.Tensor.matmul = torch.Tensor.matmul  # its own from here on, where it was inherited
        if fails:
            raise RuntimeError("a stranger's")
        return 0

    monkeypatch.setitem(TOOLS, "torchinfo", Tool(wrap, lambda graph: iter(())))
    state, network = torch.get_rng_state(), zoo.build("lenet5")
    torch.set_rng_state(state)
    try:
        against(network, (1, 32, 32), "torchinfo")
    except ValueError:
        assert fails
    assert [dict(vars(place)) for place in places] == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_network_of_another_precision_is_counted(counter, monkeypatch, dtype):
    """Tools make an image of float32 themselves; the caller's network keeps its precision."""

    def count(network, image):
        network(torch.zeros(1, *image))
        return 7

    monkeypatch.setitem(TOOLS, "torchinfo", Tool(count, lambda graph: iter(())))
    network = zoo.build("lenet5").to(dtype)
    (found,) = against(network, (1, 32, 32), "torchinfo")
    assert (found.ours, found.theirs) == (416_520, 7)
    assert {each.dtype for each in network.parameters()} == {dtype}


class Mean(nn.Module):
    """A layer that gives a single number."""

    def forward(self, x):
        return x.mean()


def test_a_layer_that_gives_a_single_number_is_explained():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Mean())
    found = explain("torchinfo", record(network, torch.empty(1, 3, 8, 8, device="meta")), 4032)
    assert [(line.reason, line.macs) for line in found.lines] == [
        ("biases of convolutions, at each position", 144)
    ]
    for tool in set(installed()) - {"calflops"}:  # which wants to be asked for more than a number
        (asked,) = against(network.double(), (3, 8, 8), [tool])
        assert isinstance(asked, Comparison) and not [
            line for line in asked.lines if "not explained" in line.reason
        ], asked


@pytest.fixture
def one_of_three(counter, monkeypatch):
    """torchinfo counts, fvcore fails half way and leaves a hook behind, and ptflops is not installed."""

    def fail(network, image):
        for each in network.modules():
            each.register_forward_hook(lambda *_: 1 / 0)
        raise RuntimeError("no rule for aten::conv")

    def count(network, image):
        network(torch.zeros(1, *image))
        return 7

    monkeypatch.setitem(TOOLS, "torchinfo", Tool(count, lambda graph: iter(())))
    monkeypatch.setitem(TOOLS, "fvcore", Tool(fail, lambda graph: iter(())))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ptflops" else object())


def test_a_tool_that_fails_leaves_the_others_at_work(one_of_three):
    found = against(zoo.build("lenet5"), (1, 32, 32), "fvcore,ptflops,torchinfo")
    assert [type(each) for each in found] == [Failure, Failure, Comparison]
    assert str(found[0]) == "fvcore could not count LeNet5: no rule for aten::conv"
    assert str(found[1]) == "ptflops is not installed here: pip install ptflops"
    assert found[2].theirs == 7


def test_where_every_tool_fails_the_reasons_are_one_error(one_of_three):
    with pytest.raises(ValueError, match="fvcore could not count LeNet5: .*; ptflops is not installed here"):
        against(zoo.build("lenet5"), (1, 32, 32), "fvcore,ptflops")


def test_the_command_prints_the_tools_that_counted_and_names_the_others(one_of_three, capsys):
    assert cli.main(["ledger", "lenet5", "--against", "fvcore,torchinfo,ptflops"]) == 0
    out, err = capsys.readouterr()
    assert "lenet5: torchinfo beside our ledger" in out and "fvcore" not in out
    assert err.splitlines() == [
        "casestudies ledger: fvcore could not count LeNet5: no rule for aten::conv",
        "casestudies ledger: ptflops is not installed here: pip install ptflops",
    ]
    assert cli.main(["ledger", "lenet5", "--against", "fvcore,ptflops"]) == 2


def test_what_has_no_rule_is_named():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.InstanceNorm2d(4))
    found = explain("fvcore", record(network, torch.empty(1, 3, 8, 8, device="meta")), 5)
    assert found.lines[-1].reason == "not explained: there is no rule here for InstanceNorm2d, Upsample"
