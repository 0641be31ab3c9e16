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


def difference(name: str) -> float:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    torch.manual_seed(0)
    network, image = zoo.build(name).eval(), VARIANTS[name].image
    session = onnxruntime.InferenceSession(to_onnx(network, image).SerializeToString())
    x = torch.randn(3, *image)  # another batch than the one that was recorded
    with torch.no_grad():
        ours = network(x)
    theirs = torch.from_numpy(session.run(None, {"images": x.numpy()})[0])
    assert theirs.shape == ours.shape
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
