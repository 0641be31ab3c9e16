"""Export: onnxruntime computes what torch computes, and the graph and the drawing are those of the network."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from casestudies import cli, figures, zoo
from casestudies.graph import Graph
from casestudies.zoo import VARIANTS

# The largest difference of any logit, in relation to the largest logit. Both compute in float32, in other orders.
TOLERANCE = 1e-4
FAMILIES = (
    "lenet5_original alexnet_2012 nin_cifar10 googlenet resnet18_a cifar_preresnet20 mobilenet_v2_0.35_96"
).split()
# Too large for a test; their blocks are those of the smaller ones.
LARGE = {"cifar_resnet1202", "cifar_preresnet1001"}


def settle(network: nn.Module, image: tuple[int, int, int]) -> None:
    """Give batch norms the statistics of random images, as training would.

    Without them the numbers of an untrained network grow from block to block: cifar_resnet1202 overflows, and
    efficientnet_b7 makes half of its largest logit of a rounding in its first layer, in torch alone too.
    """
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    if not norms:
        return
    before = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, *image))
    for each, momentum in zip(norms, before, strict=True):
        each.momentum = momentum


def difference(name: str) -> float:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    torch.manual_seed(0)
    network, image = zoo.build(name), VARIANTS[name].image
    settle(network, image)
    network.eval()
    session = onnxruntime.InferenceSession(to_onnx(network, image).SerializeToString())
    x = torch.randn(3, *image)  # another batch than the one that was recorded
    with torch.no_grad():
        ours = network(x)
    theirs = torch.from_numpy(session.run(None, {"images": x.numpy()})[0])
    assert theirs.shape == ours.shape
    assert ours.isfinite().all()
    return float((ours - theirs).abs().max() / ours.abs().max())


@pytest.mark.parametrize("name", FAMILIES)
def test_onnxruntime_and_torch_agree(name: str) -> None:
    assert difference(name) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(VARIANTS) - LARGE - set(FAMILIES)))
def test_onnxruntime_and_torch_agree_on_the_whole_zoo(name: str) -> None:
    assert difference(name) < TOLERANCE


def test_graph_and_drawing_are_written(tmp_path, capsys) -> None:
    assert cli.main(["export", "lenet5", "--to", str(tmp_path), "--formats", "json,svg"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "lenet5.json"), str(tmp_path / "lenet5.svg")]
    graph = Graph.from_json((tmp_path / "lenet5.json").read_text(encoding="utf-8"))
    assert graph.values[graph.outputs[0]].shape == (1, 10)
    drawn = figures.overview(zoo.skeleton("lenet5"), (1, 32, 32), "lenet5").to_file()
    assert (tmp_path / "lenet5.svg").read_text(encoding="utf-8") == drawn


def test_drawings_are_files_that_an_xml_parser_reads(tmp_path) -> None:
    for name, arguments in {
        "strip": ["export", "resnet18", "--to", str(tmp_path), "--formats", "svg"],
        "memory": ["ledger", "lenet5", "--memory", "--picture", str(tmp_path / "memory.svg")],
    }.items():
        assert cli.main(arguments) == 0, name
    for path in tmp_path.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_an_unknown_format_is_named(capsys) -> None:
    assert cli.main(["export", "lenet5", "--formats", "pdf"]) == 2
    assert "--formats has 'pdf'; expected some of onnx, json, svg" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert cli.main(["export", "lenet5", "--to", str(tmp_path)]) == 2
    assert (
        'onnx is not installed; install it with: pip install "casestudies[export]"' in capsys.readouterr().err
    )


def test_a_skeleton_has_nothing_to_export() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    with pytest.raises(ValueError, match="network has no weights"):
        to_onnx(zoo.skeleton("lenet5"), (1, 32, 32))


def test_an_operation_without_a_counterpart_is_named() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sort().values

    with pytest.raises(ValueError, match="sort at 'the top' has no counterpart here"):
        to_onnx(Sorted(), (1, 4, 4))


class Of(nn.Module):
    """A module with this forward, and some layers."""

    def __init__(self, forward, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.run = nn.ModuleList(layers), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


W, B = torch.linspace(-1, 1, 48).reshape(16, 3), torch.linspace(0, 1, 3)


def late(self: nn.Module) -> nn.Module:
    if not hasattr(self, "layer"):
        self.layer = nn.Conv2d(3, 4, 3)
    return self.layer


# What is written; the file agrees with the network in batches of 1, 2 and 5, or the export fails.
WRITTEN = {
    "addmm with factors": lambda self, x: torch.addmm(B, x.flatten(1)[:, :16], W, beta=0.5, alpha=2),
    "divisor": nn.AvgPool2d(3, 2, 1, count_include_pad=False, divisor_override=2),
    "uncounted padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "batch in a view": lambda self, x: x.view(x.shape[0] * 3, 64) + 1,
    "a view in two": lambda self, x: x.view(2, -1) * 2,
    "a mean of all": lambda self, x: x.mean(),
    "a sum of all": lambda self, x: x.sum(),
    "a side that is not 1": lambda self, x: x.squeeze(1) * 2,
    "a side of 1": lambda self, x: x.mean(1, keepdim=True).squeeze(1),
    "a power": lambda self, x: 2**x - x**2,
    "a list of channels": lambda self, x: x[:, [0, 2, -1]],
    "in parallel": nn.DataParallel(nn.Conv2d(3, 4, 3)),
    "a part in parallel": nn.Sequential(nn.DataParallel(nn.Conv2d(3, 4, 3)), nn.ReLU()),
    "a layer made late": lambda self, x: late(self)(x),
    "alpha": lambda self, x: torch.sub(x, torch.tanh(x), alpha=3),
}
# What is refused, and what is said.
UNWRITTEN = {
    "rounding": (lambda self, x: torch.div(x, 2, rounding_mode="floor"), "div at 'the top' has rounding_mode=floor"),
    "the batch's statistics": (nn.BatchNorm2d(3, track_running_stats=False), "batch_norm at .* statistics of the"),
    "the batch as a number": (lambda self, x: x * x.shape[0], "mul at 'the top' has other=2 for 2 images, 3 for 3"),
    "Boolean index": (lambda self, x: x[x > 0], "way for 3 images|gt at 'the top' has no counterpart|picks by true"),
    "squeeze": (lambda self, x: x.squeeze() * 2, "squeeze at 'the top' leaves out whatever is 1"),
    "squeeze of the batch": (lambda self, x: x.squeeze(0) * 2, "squeeze at 'the top' leaves out the batch"),
    "two outputs": (lambda self, x: (x + 1, x + 2), "returns something else than one tensor"),
    "no output": (lambda self, x: None, "returns something else than one tensor"),
    "indices": (lambda self, x: nn.MaxPool2d(2, return_indices=True)(x)[1] * 1.0, "second result"),
    "other numbers": (lambda self, x: x.double().sum((1, 2, 3)).float(), "to_copy at 'the top' has no counterpart"),
    "another size": (nn.Linear(3, 5), "network does not run on 2 images of 3 x 8 x 8: "),
    "a branch on the batch": (lambda self, x: x.relu() if len(x) < 3 else x.tanh(), "another way for 3 images"),
}  # fmt: skip


def module_of(forward) -> nn.Module:
    return forward if isinstance(forward, nn.Module) else Of(forward)


@pytest.mark.parametrize("forward", WRITTEN.values(), ids=WRITTEN)
def test_what_is_written_computes_the_same(forward) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    module = module_of(forward).train()
    session = onnxruntime.InferenceSession(to_onnx(module, (3, 8, 8)).SerializeToString())
    assert module.training
    for batch in (1, 2, 4, 5):
        x = torch.randn(batch, 3, 8, 8)
        ours, (theirs,) = module.eval()(x), session.run(None, {"images": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("forward, message", UNWRITTEN.values(), ids=UNWRITTEN)
def test_what_would_compute_something_else_is_refused(forward, message) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    with pytest.raises(ValueError, match=message) as raised:
        to_onnx(module_of(forward), (3, 8, 8))
    assert "\n" not in str(raised.value)


def test_a_file_that_computes_something_else_is_not_given_out(monkeypatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies import export

    wrong = (export._elementwise("Sigmoid"), "self")
    monkeypatch.setitem(export.RULES, "tanh", wrong)
    module = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.ReLU())
    with pytest.raises(
        ValueError, match="something else than the network on 1 images; tanh at '1' differs first"
    ):
        export.to_onnx(module, (3, 8, 8))


class Chaos(nn.Module):
    """Makes so much of a rounding that torch and onnxruntime have nothing in common after it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        x = x.sigmoid()
        for _ in range(80):
            x = 3.99 * (x - x * x)
        return self.last(x)


class Overflow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(8):
            x = (x + 3) ** 10
        return x


@pytest.mark.parametrize("network", [Chaos(), Overflow()], ids=["chaos", "overflow"])
def test_a_network_that_says_nothing_as_a_whole_is_compared_operation_by_operation(network) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    onnxruntime.InferenceSession(to_onnx(network, (3, 8, 8)).SerializeToString())


@pytest.mark.parametrize(
    "network, name, wrong, message",
    [
        (Chaos(), "tanh", "Sigmoid", "tanh at 'last' differs first"),
        (Overflow(), "add", "Sub", "add at 'the top' differs first"),
    ],
)
def test_what_is_wrong_in_such_a_network_is_found(monkeypatch, network, name, wrong, message) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies import export

    rule = export._elementwise(wrong) if name == "tanh" else export._scaled(wrong)
    monkeypatch.setitem(export.RULES, name, (rule, export.RULES[name][1]))
    with pytest.raises(ValueError, match=message):
        export.to_onnx(network, (3, 8, 8))


def test_a_network_is_left_in_its_mode() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    network[1].eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    to_onnx(network, (3, 8, 8))
    assert [each.training for each in network] == [True, False, True]
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


# network, image, error, what it says
BAD = [
    (
        "vgg16",
        (3, 8, 8),
        TypeError,
        r"network is 'vgg16' \(str\).*build it first: casestudies.zoo.build\('vgg16'\)",
    ),
    (None, (3, 8, 8), TypeError, "network is None"),
    (nn.ReLU(), "abc", ValueError, "image is 'abc'"),
    (nn.ReLU(), (3, 8), ValueError, r"image is \(3, 8\)"),
    (nn.ReLU(), (3, 0, 8), ValueError, "image is"),
]


@pytest.mark.parametrize("network, image, error, message", BAD)
def test_a_bad_network_or_image_is_named(network, image, error, message) -> None:
    from casestudies.export import to_onnx

    with pytest.raises(error, match=message):
        to_onnx(network, image)
