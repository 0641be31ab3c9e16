"""Whatever is given to a public function of costs, figures and zoo: the right answer, or a sentence of our own.

Each argument of each function is replaced by values of all kinds. Either the value is meant to work there, or a
ValueError or TypeError names the argument and the value; no error of torch or of Python itself, and no silent result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from casestudies import costs, figures, zoo

net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
net(torch.rand(1, 3, 8, 8))
IMAGE = (3, 8, 8)

NONSENSE: list[Any] = [
    None, True, False, -1, 0, 10**30, 2.5, float("nan"), float("inf"), "", "ab", "10", b"ab", [], (), [1],
    (1, 2, 3, 4), ["ab"], {}, {"a": 1}, {3, 8, 9}, object(), int, lambda: 1, torch.ones(2), torch.tensor(2.5),
    nn.ReLU(), 1j, (3, 8), (0, 1), (-1, 3), (2.5, 1), (True, 1), [[3, 1]], range(0), "resnet", Exception("x"),
]  # fmt: skip


def any_of(*values: Any) -> Callable[[Any], bool]:
    return lambda given: any(type(given) is type(value) and given == value for value in values)


def nothing(given: Any) -> bool:
    return False


def is_kind(*kinds: type) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, kinds) and not (isinstance(given, bool) and bool not in kinds)


def whole_from(least: int) -> Callable[[Any], bool]:
    return lambda given: type(given) is int and given >= least


def pair_from(least: int) -> Callable[[Any], bool]:
    return lambda given: (
        whole_from(least)(given)
        or (
            type(given) is tuple
            and len(given) == 2
            and all(type(side) is int and side >= least for side in given)
        )
    )


truth = any_of(True, False, 0)  # numbers of 0 and 1 have always passed as truth values
text, size, some = is_kind(str), whole_from(1), whole_from(0)
module = is_kind(nn.Module)
layers = any_of([], (), [[3, 1]], range(0), {})

# Function, right arguments by name, and what else is right for each of them
FUNCTIONS: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Callable[[Any], bool]]]] = [
    (costs.conv_output_size, {"size": 9, "kernel": 3, "stride": 1, "padding": 0, "dilation": 1, "ceil_mode": False},
     {"size": size, "kernel": any_of(1), "stride": size, "padding": some, "dilation": any_of(1), "ceil_mode": truth}),
    (costs.conv_parameters, {"in_channels": 4, "out_channels": 4, "kernel": 3, "groups": 1, "bias": True},
     {"in_channels": size, "out_channels": size, "kernel": pair_from(1), "groups": any_of(1), "bias": truth}),
    (costs.conv_macs,
     {"in_channels": 4, "out_channels": 4, "kernel": 3, "out_height": 2, "out_width": 2, "groups": 1},
     {"in_channels": size, "out_channels": size, "kernel": pair_from(1), "out_height": size, "out_width": size,
      "groups": any_of(1)}),
    (costs.linear_parameters, {"in_features": 3, "out_features": 4, "bias": True},
     {"in_features": size, "out_features": size, "bias": truth}),
    (costs.linear_macs, {"in_features": 3, "out_features": 4}, {"in_features": size, "out_features": size}),
    (costs.conv2d_parameters, {"layer": nn.Conv2d(3, 4, 3)}, {"layer": nothing}),
    (costs.conv2d_macs, {"layer": nn.Conv2d(3, 4, 3), "out_height": 2, "out_width": 2},
     {"layer": nothing, "out_height": size, "out_width": size}),
    (costs.receptive_field, {"layers": [(3, 1)]}, {"layers": layers}),
    (costs.transposed_conv_macs, {"weights": 24, "in_channels": 3, "inputs": 75},
     {"weights": any_of(10**30 + 2), "in_channels": any_of(1), "inputs": any_of(0)}),
    (costs.product_macs, {"rows": 1, "inner": 2, "columns": 3, "batch": 1},
     dict.fromkeys(("rows", "inner", "columns", "batch"), some)),
    (costs.attention_macs, {"queries": (1, 2, 4, 3), "keys": (1, 2, 4, 3), "values": (1, 2, 4, 3)},
     dict.fromkeys(("queries", "keys", "values"), any_of())),
    (costs.ledger, {"network": net, "image": IMAGE, "training": False},
     {"network": module, "image": nothing, "training": any_of(True, False)}),
    (costs.memory, {"network": net, "image": IMAGE, "batch": 1, "training": True, "optimizer": "adam"},
     {"network": module, "image": nothing, "batch": nothing, "training": any_of(True), "optimizer": any_of(None)}),
    (figures.draw, {"module": net, "image": IMAGE, "title": "a", "caption": "b"},
     {"module": module, "image": nothing, "title": text, "caption": text}),
    (figures.overview, {"network": net, "image": IMAGE, "title": "a", "caption": "b"},
     {"network": module, "image": nothing, "title": text, "caption": text}),
    (figures.trace, {"module": net, "image": IMAGE}, {"module": module, "image": nothing}),
    (figures.items_of, {"network": net, "image": IMAGE}, {"network": module, "image": nothing}),
    (figures.describe, {"module": nn.ReLU()}, {"module": module}),
    (figures.timeline, {"memory": costs.memory(net, IMAGE), "title": "a", "caption": "b"},
     {"memory": nothing, "title": text, "caption": text}),
    (figures.colour, {"role": "conv"}, {"role": nothing}),
    (figures.paint, {"role": "conv"}, {"role": nothing}),
    (figures.shape_text, {"shape": (3, 4)}, {"shape": is_kind(list, tuple, range)}),
    (figures.svg_element, {"body": "", "width": 3.0, "height": 2.0, "alt": "a", "shown": 2.0},
     {"body": text, "alt": text, "width": any_of(2.5, 10**30), "height": any_of(2.5, 10**30),
      "shown": any_of(2.5, 10**30, None)}),
    (figures.stacks_of, {"steps": figures.trace(net, IMAGE)}, {"steps": any_of([], ())}),
    (figures.place, {"stacks": figures.stacks_of(figures.trace(net, IMAGE))}, {"stacks": nothing}),
    (figures.drawing, {"figure": figures.subplots()[0], "alt": "a b c", "caption": ""},
     {"figure": nothing, "alt": nothing, "caption": text}),
    (zoo.build,
     {"name": "lenet5", "num_classes": 3, "pretrained": False, "in_channels": 1, "padding": 0, "maps": (2, 3)},
     {"name": nothing, "num_classes": any_of(None), "pretrained": any_of(True, False), "in_channels": nothing,
      "padding": any_of(0), "maps": any_of((3, 8))}),
    (zoo.build, {"name": "mobilenet_v1", "width": 0.5}, {"name": any_of("mobilenet_v1"), "width": any_of(2.5)}),
    (zoo.skeleton, {"name": "lenet5", "num_classes": 3}, {"name": nothing, "num_classes": any_of(None)}),
    (zoo.canonical, {"name": "VGG-16"}, {"name": text}),
    (zoo.variant, {"name": "VGG-16"}, {"name": nothing}),
]  # fmt: skip


def cases() -> list[Any]:
    return [
        pytest.param(
            function,
            right,
            name,
            fine[name],
            id=f"{function.__module__.split('.')[1]}.{function.__name__}-{name}",
        )
        for function, right, fine in FUNCTIONS
        for name in right
    ]


@pytest.mark.parametrize("function, right, name, fine", cases())
def test_nonsense_is_named_and_refused(function, right, name, fine):
    function(**right)
    for value in NONSENSE:
        if fine(value):
            continue
        try:
            result = function(**right | {name: value})
        except (ValueError, TypeError) as error:
            said = str(error)
            # A size inside a tuple is named by its place, and so is its value.
            inside = list(value) if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) else []
            shown = [repr(value)[:60], *map(repr, inside), *(repr(each) for part in inside if isinstance(part, list)
                                                             for each in part)]  # fmt: skip
            assert name in said or name[:-1] in said, (name, value, said)
            assert any(each in said for each in shown), (name, value, said)
        else:
            raise AssertionError(f"{function.__name__}({name}={value!r}) gave {result!r:.80}")


def test_every_public_function_is_in_the_table():
    asked = {function.__name__ for function, _, _ in FUNCTIONS}
    others = {
        "op_macs", "total_macs",  # of a graph, which `record` makes
        "names", "palette_css",  # without arguments
        "end_labels", "name_points", "row", "show", "subplots",  # asked below
    }  # fmt: skip
    public = {
        name
        for package in (costs, figures, zoo)
        for name in package.__all__
        if callable(getattr(package, name)) and name[0].islower()
    }
    assert public - others == asked - {"names"} and others <= public


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: figures.row(3), r"drawings\[0\] is 3"),
        (lambda: figures.end_labels(3), "axes is 3"),
        (lambda: figures.name_points(3, {}), "axes is 3"),
        (lambda: figures.name_points(figures.subplots()[1], 3), "names is 3"),
        (lambda: figures.name_points(figures.subplots()[1], {4: (1, 2)}), r"names\[0\] is 4"),
        (lambda: figures.name_points(figures.subplots()[1], {"a": 3}), r"names\['a'\] is 3"),
        (
            lambda: figures.name_points(figures.subplots()[1], {"a": (3, float("nan"))}),
            r"names\['a'\] is \(3",
        ),
        (lambda: figures.show(3, "a b c"), "figure is 3"),
        (lambda: figures.subplots(rows="a"), "rows is 'a'"),
        (lambda: figures.subplots(width=-1), "width is -1"),
        (lambda: costs.op_macs(3, 4), "graph is 3"),
        (lambda: costs.total_macs("a"), "graph is 'a'"),
        (
            lambda: zoo.build("lenet5", colours=3),
            r"options are {'colours': 3}, with which lenet5 cannot be built",
        ),
        (lambda: zoo.build("alexnet_2012", groups=3), "groups is 3; AlexNet has 2 towers"),
    ],
)
def test_other_nonsense_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


NUMPY = ["int8", "int32", "int64", "uint16"]


@pytest.mark.parametrize("kind", NUMPY)
def test_whole_numbers_of_numpy_are_sizes(kind):
    numpy = pytest.importorskip("numpy")
    number = getattr(numpy, kind)
    assert (
        costs.conv_parameters(3, 4, number(3))
        == costs.conv_parameters(number(3), number(4), (number(3), 3))
        == 112
    )
    assert type(costs.linear_macs(number(100), number(100))) is int
    assert costs.linear_macs(number(100), number(100)) == 10_000
    assert costs.receptive_field([(number(3), number(2)), (3, 1)]) == 7
    assert costs.memory(net, IMAGE, batch=number(2)).batch == 2
    assert zoo.build("lenet5", number(7))(torch.rand(1, 1, 32, 32)).shape == (1, 7)


class Functional(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


@pytest.mark.parametrize("network", [nn.Conv2d(3, 4, 3), nn.ReLU(), Functional(), nn.Identity()])
def test_a_network_of_one_layer_is_drawn(network):
    assert figures.overview(network, IMAGE).alt and figures.draw(network, IMAGE).alt


def test_what_runs_nothing_says_so():
    with pytest.raises(ValueError, match="network is Sequential, in which no layer or block runs"):
        figures.overview(nn.Sequential(), IMAGE)
    with pytest.raises(ValueError, match="memory is that of Identity, in which nothing runs"):
        figures.timeline(costs.memory(nn.Identity(), IMAGE))


def test_a_drawing_and_the_ledger_say_the_same_about_an_image_that_does_not_fit():
    said = set()
    for function in (costs.ledger, costs.memory, figures.draw, figures.overview, figures.trace):
        with pytest.raises(ValueError) as caught:
            function(net, (1, 16, 16))
        said.add(str(caught.value))
    assert len(said) == 1


def test_options_of_a_network_take_the_place_of_its_own():
    network = zoo.build("mobilenet_v1", width=0.5)
    assert sum(p.numel() for p in network.parameters()) == sum(
        p.numel() for p in zoo.skeleton("mobilenet_v1_0.5_224").parameters()
    )


def test_a_network_that_torch_exported_is_refused_with_a_sentence():
    exported = torch.export.export(nn.Conv2d(3, 4, 3), (torch.rand(1, 3, 8, 8),)).module()
    for function in (costs.ledger, costs.memory):
        with pytest.raises(ValueError, match="was made by torch.export"):
            function(exported, IMAGE)
