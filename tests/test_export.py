"""Export: onnxruntime computes what torch computes, and the graph and the drawing are those of the network."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from casestudies import cli, figures, zoo
from casestudies.graph import Graph, record
from casestudies.zoo import VARIANTS

ROOT = Path(__file__).parents[1]
FAMILIES = (
    "lenet5_original alexnet_2012 nin_cifar10 googlenet resnet18_a cifar_preresnet20 mobilenet_v2_0.35_96"
).split()
# Too large for a test; their blocks are those of the smaller ones.
LARGE = {"cifar_resnet1202", "cifar_preresnet1001"}


spec = importlib.util.spec_from_file_location("exports", ROOT / "benchmarks" / "exports.py")
exports = sys.modules["exports"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exports)


def check(name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    measured = exports.measure(name)
    assert measured.fits, measured.line()


@pytest.mark.parametrize("name", FAMILIES)
def test_onnxruntime_and_torch_agree(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(VARIANTS) - LARGE - set(FAMILIES)))
def test_onnxruntime_and_torch_agree_on_the_whole_zoo(name: str) -> None:
    check(name)


def test_a_file_fits_as_far_as_float32_itself_does() -> None:
    assert exports.Measured("shallow", torchs=1e-9, onnxruntimes=9e-6, apart=9e-6).fits
    assert not exports.Measured("shallow", torchs=1e-9, onnxruntimes=2e-5, apart=2e-5).fits
    assert exports.Measured("deep", torchs=2e-3, onnxruntimes=3e-3, apart=4e-3).fits
    assert not exports.Measured("deep", torchs=2e-3, onnxruntimes=9e-3, apart=8e-3).fits


def test_kept_results_are_those_of_the_same_code(tmp_path, monkeypatch) -> None:
    path = tmp_path / "kept.jsonl"
    row = {"name": "lenet5", "torchs": 1e-7, "onnxruntimes": 2e-7, "apart": 2e-7}
    path.write_text(json.dumps(row | {"code": exports.code()}) + "\n")
    assert exports.kept(path) == {"lenet5": exports.Measured(**row)}
    monkeypatch.setattr(exports, "code", lambda: "other")
    assert exports.kept(path) == {}


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


def test_a_format_that_is_named_twice_is_written_once(tmp_path, capsys) -> None:
    assert cli.main(["export", "lenet5", "--to", str(tmp_path), "--formats", "json,json"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "lenet5.json")]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, capsys) -> None:
    (tmp_path / "taken").touch()
    assert cli.main(["export", "lenet5", "--to", str(tmp_path / "taken")]) == 2
    assert "taken, which is a file; expected a folder" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert cli.main(["export", "lenet5", "--to", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "onnx is not installed; install it with: pip install onnx onnxruntime" in shown.err
    assert "lenet5.onnx is not written" in shown.err
    # What needs no extra is there all the same.
    assert shown.out.split() == [str(tmp_path / "lenet5.json"), str(tmp_path / "lenet5.svg")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lenet5.json", "lenet5.svg"]


@pytest.mark.parametrize(
    "formats, message",
    [
        ("json,onnx", "name is 'lenet5', which has no pretrained weights"),
        ("json,svg", "--pretrained goes with --formats onnx; json and svg hold no weights"),
    ],
)
def test_pretrained_is_refused_before_anything_is_written(formats, message, capsys, tmp_path) -> None:
    command = ["export", "lenet5", "--pretrained", "--formats", formats, "--to", str(tmp_path / "new")]
    assert cli.main(command) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == "" and not (tmp_path / "new").exists()


def test_a_skeleton_has_nothing_to_export() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    with pytest.raises(ValueError, match="network has no weights"):
        to_onnx(zoo.skeleton("lenet5"), (1, 32, 32))


def test_an_operation_without_a_counterpart_is_named() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    class Angle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.atan2(x, x + 1)

    message = (
        "atan2 at 'the top' has no counterpart here; casestudies.onnx_rules.RULES names the [0-9]+ operations"
    )
    with pytest.raises(ValueError, match=message):
        to_onnx(Angle(), (1, 4, 4))


class Of(nn.Module):
    """A module with this forward, and some layers."""

    def __init__(self, forward, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.run = nn.ModuleList(layers), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


class Masked(nn.Module):
    """Changes a table of its own, and one that it made, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        made = torch.zeros(8, 8)
        for place, rows in enumerate((slice(0, 3), slice(3, 8))):
            made[rows] = place + 1
            self.table[rows, 2:] = place - 2
        hidden = torch.full((8, 8), -math.inf).triu()
        return (x @ made + x * self.table) @ torch.softmax(hidden.T, 0)


def pooled_last(self: nn.Module, x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x.contiguous(memory_format=torch.channels_last), 1).permute(0, 2, 3, 1) + 1


def hidden_rows(self: nn.Module, x: Tensor) -> Tensor:
    allowed = torch.ones(8, 8, dtype=torch.bool).tril(-1)
    return F.scaled_dot_product_attention(x, x, x, attn_mask=allowed)


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
# What people write in a forward pass: arithmetic with numbers on either side, comparisons, bounds, reductions, norms,
# activations, products, borders, other shapes, pools, gates.
EXPRESSIONS = """
    1 - x; 1.5 - x; x - 1; 2 / x; x / 2; 1 + x; x * 3; x ** 2; x ** 0.5; 2 ** x; -x; abs(x); x.abs(); x.sqrt();
    x.rsqrt(); x.reciprocal(); x.square(); x.log(); x.log2(); x.log10(); x.log1p(); x.expm1(); x.exp2();
    x.sin(); x.cos(); x.tan(); x.atan(); x.erf(); x.floor(); x.ceil(); x.round(); x.trunc(); x.sign();
    x.frac(); x // 2; x % 2; torch.fmod(x, 2); torch.remainder(x, x + 3); (x > 0).float(); (x > 0) * x;
    (x >= x.mean()).float(); (x < 0.5).to(x.dtype); torch.where(x > 0, x, 0.1 * x); x * (x > 0);
    (x == 0).float(); (x != 0).float() * x; torch.where(x > 0, x, torch.zeros_like(x));
    x.masked_fill(x < 0, 0.0); x.masked_fill(x < 0, float('-inf')).amax(1); x.clamp(0, 1); x.clamp(min=0);
    x.clamp(max=6); x.clamp_min(0.1); x.clamp_max(6); torch.clip(x, -1, 1); torch.maximum(x, -x);
    torch.minimum(x, x * x); torch.max(x, x * 2); F.relu6(x); F.hardtanh(x, -2, 2);
    torch.clamp(x, min=x.mean()); x.mean(); x.mean(1); x.mean((2, 3)); x.mean(-1, keepdim=True); x.sum(1);
    x.sum((2, 3), keepdim=True); x.amax((2, 3)); x.amin(1); x.max(1).values; x.min(1)[0]; x.max(); x.min();
    x.var((2, 3)); x.var(1, unbiased=False); x.std((2, 3)); torch.var_mean(x, (2, 3))[0];
    torch.std_mean(x, 1, unbiased=False)[1]; x.norm(); x.norm(dim=1); x.norm(p=1, dim=1);
    F.normalize(x, dim=1); x.prod(1); x.logsumexp(1); x.cumsum(1); x.argmax(1).float(); x.topk(2, 1).values;
    x.sort(1).values; x.any(1).float(); x.all(1).float(); F.softmax(x, 1); F.log_softmax(x, 1); x.softmax(-1);
    F.gelu(x); F.gelu(x, approximate='tanh'); F.elu(x); F.selu(x); F.celu(x); F.leaky_relu(x, 0.1);
    F.softplus(x); F.mish(x); F.hardswish(x); F.hardsigmoid(x); F.silu(x); F.logsigmoid(x); F.softsign(x);
    F.tanhshrink(x); F.hardshrink(x); F.softshrink(x); F.threshold(x, 0.1, 0.2);
    F.glu(x.repeat(1, 2, 1, 1), 1); F.relu(x); F.prelu(x, torch.tensor([0.2]));
    torch.einsum('bchw,dc->bdhw', x, torch.ones(5, 3)); torch.einsum('bchw,bdhw->bcd', x, x);
    x @ x.transpose(-1, -2); torch.matmul(x, torch.ones(8, 4)); F.linear(x, torch.ones(5, 8));
    F.linear(x, torch.ones(5, 8), torch.ones(5)); torch.bmm(x.flatten(2), x.flatten(2).mT);
    torch.baddbmm(torch.ones(1,1,1), x.flatten(2), x.flatten(2).mT); torch.addcmul(x, x, x, value=0.5);
    torch.addcdiv(x, x, x + 9, value=2); torch.lerp(x, x * 2, 0.3);
    torch.outer(x.mean((1,2,3)), torch.ones(3)); torch.mv(x.flatten(1), torch.ones(192));
    F.scaled_dot_product_attention(x, x, x); F.cosine_similarity(x, x + 1, dim=1); F.pad(x, (1, 1, 1, 1));
    F.pad(x, (1, 1, 1, 1), mode='reflect'); F.pad(x, (1, 0, 2, 1), mode='replicate'); F.pad(x, (-1, -1));
    F.pad(x, (0, 0, 0, 0, 1, 1), value=2.0); x.permute(0, 2, 3, 1); x.transpose(1, 2);
    x.reshape(x.shape[0], -1); x.view(x.size(0), 3, 64); x.flatten(2).transpose(1, 2); x[:, 0];
    x[:, :, ::2, 1:]; x[..., -1]; x[:, None]; x.select(1, 0); x.narrow(1, 0, 2); x.chunk(2, 2)[0];
    x.split(1, 1)[1]; x.split([1, 2], 1)[1]; x.unbind(1)[2]; torch.stack([x, x * 2], 1); torch.cat([x, x], 1);
    x.repeat(1, 2, 1, 1); x.expand(-1, -1, -1, -1); x.mean(1, keepdim=True).expand(-1, 4, -1, -1);
    x.repeat_interleave(2, 1); x.roll(1, 2); x.roll((1, 2), (2, 3)); x.flip(3); x.tril(); x.triu(1);
    F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2); F.pixel_unshuffle(x, 2);
    F.channel_shuffle(x.repeat(1, 2, 1, 1), 2); x.movedim(1, -1); x.index_select(1, torch.tensor([2, 0]));
    x[:, [1, 0, 2]]; torch.gather(x, 1, torch.zeros(x.shape[0], 1, 8, 8, dtype=torch.long)); x.squeeze(1);
    x.unsqueeze(1).squeeze(1); x.clone(); x.detach(); x + torch.zeros_like(x);
    x * torch.ones_like(x); x + torch.arange(8.0); x + torch.full((8,), 2.0); torch.linspace(0, 1, 8) * x;
    x.long().float(); x.bool().float(); F.max_pool2d(x, 2); F.max_pool2d(x, 3, 2, 1, ceil_mode=True);
    F.avg_pool2d(x, 2); F.avg_pool2d(x, 3, 2, 1, True, False); F.adaptive_avg_pool2d(x, 1);
    F.adaptive_avg_pool2d(x, (4, 2)); F.adaptive_avg_pool2d(x, 3); F.adaptive_max_pool2d(x, 1);
    F.adaptive_max_pool2d(x, 4); F.lp_pool2d(x, 2, 2); F.interpolate(x, scale_factor=2);
    F.interpolate(x, size=16, mode='bilinear');
    F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True);
    F.interpolate(x, size=(5, 7), mode='nearest'); F.interpolate(x, scale_factor=2, mode='bicubic');
    F.interpolate(x, size=4, mode='area'); F.avg_pool1d(x.flatten(2), 4); F.max_pool1d(x.flatten(2), 4);
    F.adaptive_avg_pool1d(x.flatten(2), 1); F.max_pool3d(x.unsqueeze(1), 2, padding=1);
    F.local_response_norm(x, 3); F.layer_norm(x, (8,)); F.layer_norm(x, (3, 8, 8)); F.group_norm(x, 3);
    F.instance_norm(x); F.batch_norm(x, torch.zeros(3), torch.ones(3)); F.rms_norm(x, (8,));
    x * x.sigmoid(); x * torch.sigmoid(x.mean((2, 3), keepdim=True));
    x * F.hardsigmoid(x.mean((2, 3), keepdim=True)); (1 - x.sigmoid()) * x + x.sigmoid() * 2;
    (x + 1).relu_() - 1; x.tanh() * x.sigmoid(); x.sub(1).mul(2).add(3); torch.rsub(x, 1);
    torch.rsub(x, x * 2, alpha=3); torch.add(x, 2, alpha=3); torch.true_divide(x, 3); torch.sinh(x);
    torch.cosh(x); torch.asinh(x); torch.diff(x, dim=1); torch.tensordot(x, torch.ones(3, 2), ([1], [0]));
    torch.kron(x, torch.ones(1, 2)); torch.meshgrid(torch.arange(8.), torch.arange(8.), indexing='ij')[0] * x;
    F.one_hot(torch.arange(8) % 3).float().T.sum() * x;
    F.embedding(torch.tensor([0, 2]), torch.eye(3)).sum() + x;
    x.exp(); x.clamp(-1, 1).asin(); x.clamp(-1, 1).acos(); (x.abs() + 1).acosh(); (x / 9).atanh();
    x.argmin(1).float();
    (x <= 0).float(); torch.addmv(x[:, 0, 0, 0], x[:, 0, 0], torch.ones(8), beta=2, alpha=3);
    x[0, 0, 0].dot(x[0, 0, 1]);
    torch.isnan(x / (x > 0)).float(); torch.isinf(x / (x > 0)).float(); x.new_zeros(x.shape[0], 3) + x[:, :, 0, 0];
    x.new_ones(8) * x; x.new_full((2, 3), 7.0).sum() + x; torch.full_like(x, 2) * x; x.square();
    torch.ops.aten._safe_softmax(x.masked_fill(x < 1, float('-inf')), -1); torch.ops.aten.norm(x, 2, [1], True);
    F.pad(x.flatten(2), (3, 1), mode='reflect'); F.pad(x.flatten(2), (1, 2), mode='replicate');
    torch.logical_and(x, x - 1).float(); torch.logical_or(x > 0, x < -1).float();
    torch.logical_xor(x.long(), x > 0).float();
    x.long().logical_not().float()
"""
# Where the rules of torch and of ONNX part: places from behind, ties between dtypes, windows at the border, sizes of
# lists, numbers near 0, a single number, an input without images, names that the file has already.
EXPRESSIONS += """;
    x % -2; x % 0.1; x // 0.3; 1.0 // x.round(); torch.remainder(x, x.roll(1, 1).abs() + 0.01); torch.fmod(x, -0.3);
    (x * 1e-6).expm1() * 1e6; (x * 1e-6).log1p() * 1e6; (x.abs() * 99).log1p(); (x * 9).expm1();
    x.std((1, 2), correction=0, keepdim=True);
    x.norm(p=0, dim=1); x.norm(p=3, dim=-1, keepdim=True); x.norm(p=float('-inf'), dim=(1, 2)); x.mean().norm() * x;
    x.argmax(keepdim=True).float(); x.argmin(-1, True).float(); (x.long() + 2**24).argmax(1).float();
    (x.long() + 2**24).max(1)[1].float(); ((x.long() * 100000001).max(1)[0] - x[:, 0].long() * 100000001).float();
    (x > 0).sum(1).float(); (x > 0).sum().float(); (x > 0).max(1)[1].float(); (x > 0).amax(1).float();
    (x > 0).sort(1)[0].float(); (x > 0).cumsum(1).float(); x.long().cumsum(1).float(); x.long().amin(1).float();
    ((x > 0) + (x > 1)).float(); ((x > 0) * (x > 1)).float(); torch.maximum(x > 0, x < 1).float();
    torch.where(x > 1, x > 0, x < 1).float(); (x > 0).masked_fill(x < 1, True).float();
    (~(x > 0)).float(); ((x > 0) & (x < 1)).float(); ((x > 0) | (x < -1)).float(); ((x > 0) ^ (x < 1)).float();
    x.long() / 2; (-x.long()).float(); (x.long() % 3).float(); x.take_along_dim(x.argsort(1), 1); x.long() > 0.5;
    F.pad(x > 0, (1, 1)).float(); F.pad(x.long(), (1, 1), value=3).float(); F.pad(x, (-1, 2, 3, -2), value=1.5);
    x[:, [0], [1, 2, 3]]; x[:, [0, 1], [2, 3]]; x[:, [0, 1], :, [2, 3]]; x[:, [[0], [-1]], :, [1, 2, -3]];
    x[:, torch.tensor(0), torch.tensor(1)]; x[:, torch.tensor([[0, 1]]), torch.tensor([[1], [2]])];
    x[:, torch.tensor([True, False, True])]; x[:, :, torch.ones(8, 8, dtype=torch.bool).tril()]; x[[0, 0]];
    x.index_select(1, torch.tensor(2)); torch.cat([x, torch.empty(0)], 1); torch.cat([x, x[:, :0]], -3);
    F.max_pool2d(x[:, 0], 2); F.avg_pool2d(x[:, 0], 3, 2, 1, True, False); F.avg_pool2d(x[0], 2);
    F.adaptive_avg_pool2d(x[:, 0], 2); F.adaptive_avg_pool2d(x[:, 0], 3); F.adaptive_max_pool2d(x[:, 0], 4);
    F.max_pool2d(x, 3, 5, 1, 2, True); F.avg_pool2d(x, 4, 3, 2, True, True); F.avg_pool2d(x, 4, 3, 2, True, False);
    F.interpolate(x, size=(1, 7), mode='bilinear'); F.interpolate(x, size=1, mode='bilinear');
    F.interpolate(x, size=(1, 4), mode='bilinear', align_corners=True);
    F.interpolate(x, size=(13, 3), mode='bicubic');
    F.interpolate(x[:, :, 1:, 1:], size=31, mode='bilinear');
    F.interpolate(x, scale_factor=2.1, mode='bilinear', align_corners=True); F.interpolate(x, scale_factor=0.6);
    F.interpolate(x, scale_factor=1.3, mode='bilinear', recompute_scale_factor=True);
    F.conv_transpose2d(x, torch.ones(3, 2, 3, 3), padding=1, output_padding=1, dilation=2);
    F.conv_transpose2d(x, torch.ones(3, 2, 3, 3), None, (3, 1), (0, 2), (2, 1), dilation=(1, 3));
    torch.addmm(torch.full((4,), float('nan')), x[:, 0, 0], torch.ones(8, 4), beta=0);
    torch.baddbmm(torch.full((1,), float('nan')), x[:, 0], x[:, 1], beta=0); x.mean().t() + x;
    x.mean().view(()) * x;
    x.mean().squeeze(0) * x; x.mean().sum(0) + x; x.mean().amax(0) + x
"""


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.cell = kind(64, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x.flatten(2))[0]


class Named(nn.Module):
    """Has a parameter of a name that the file may use otherwise."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.linspace(-1, 1, 8)))

    def forward(self, x: Tensor) -> Tensor:
        (weight,) = self.parameters()
        return (x * weight).relu() + 1


class Beside(nn.Module):
    """Holds a buffer that no operation reads, of a dtype that NumPy does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(2, dtype=torch.bfloat16))

    def forward(self, x: Tensor) -> Tensor:
        self.table.add_(1)
        return x + 1


class Sparse(nn.Module):
    """Mixes the rows of its images by a matrix that is kept sparse."""

    def __init__(self, layout: torch.layout) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, which calls it a beta
            self.register_buffer("table", torch.eye(8).roll(1, 0).to_sparse(layout=layout))

    def forward(self, x: Tensor) -> Tensor:
        return (self.table @ x.flatten(0, 2).t()).t().reshape(x.shape)


LAYERS = {
    **{f"a sparse matrix, {layout}": Sparse(layout) for layout in (torch.sparse_coo, torch.sparse_csr)},
    "circular borders": nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode="circular"),
    "circular borders along one axis": nn.Sequential(nn.Flatten(2), nn.CircularPad1d((3, 2))),
    **{f"a parameter named {name}": Named(name) for name in ("images", "logits", "mul_1", "relu_2", "constant_3")},
    "a buffer that nothing needs": Beside(),
    "tables changed in place": Masked(),
    "a pooled grid, channels last": pooled_last,
    "rows that a mask hides": hidden_rows,
    "a convolution along one axis": nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3, padding=1)),
    "a convolution along three": nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 3, padding=1)),
    "transposed": nn.ConvTranspose2d(3, 6, 3, 2, 1, 1, groups=3),
    "same": nn.Conv2d(3, 4, (4, 2), padding="same", dilation=2),
    "reflected borders": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "repeated borders": nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate"),
    "group norm": nn.GroupNorm(3, 3),
    "layer norm": nn.LayerNorm([3, 8, 8]),
    "instance norm": nn.InstanceNorm2d(3, affine=True),
    "instance norm with statistics": nn.InstanceNorm2d(3, track_running_stats=True),
    "batch norm of rows": nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192)),
    "PReLU": nn.PReLU(3),
    "a transformer's layer": nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)),
    "LSTM": Recurrent(nn.LSTM),
    "GRU": Recurrent(nn.GRU),
    "GRU's cell": nn.Sequential(nn.Flatten(), nn.GRUCell(192, 4)),
    "nearest": nn.Upsample(scale_factor=2),
    "shuffled channels": nn.Sequential(nn.Conv2d(3, 4, 1), nn.ChannelShuffle(2)),
    "shuffled pixels": nn.Sequential(nn.Conv2d(3, 4, 1), nn.PixelShuffle(2)),
    "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    "GLU": nn.Sequential(nn.Conv2d(3, 4, 1), nn.GLU(1)),
    "powers pooled": nn.LPPool2d(3, 2),
}  # fmt: skip
WRITTEN |= LAYERS | {
    each: eval(f"lambda self, x: ({each}) * 1.0", {"torch": torch, "F": F})
    for each in " ".join(EXPRESSIONS.replace(";\n;", ";").split()).split("; ")
}
# Tensors that are written in place, whole or through views of them. What the caller's images become is the network's.
STATEMENTS = """
    x /= 255; return x
    x -= x.mean((2, 3), keepdim=True); x /= x.std((2, 3), keepdim=True) + 1; return x.relu()
    x.div_(4); y = x * 2; x.add_(1); return x + y
    x[:, 0] = x[:, 1]; return x * 2
    y = x.clone(); y[:, :, 0] = 0; return y
    y = x.clone(); y[:, 0].mul_(3); return y
    y = x.clone(); y[:, :, ::2] = y[:, :, 1::2]; return y
    y = x.clone(); y[:, 0], y[:, 1] = y[:, 1].clone(), y[:, 0].clone(); return y
    y = x.clone(); y.transpose(1, 2)[:, 0] = 7; return y
    y = x.clone(); y.view(len(x), -1)[:, 5:9] = 2.0; return y
    y = x.clone(); a = y[:, 0]; b = a[:, 1]; b.mul_(3); a.add_(1); return y + a.unsqueeze(1)
    y = x.clone(); a = y[:, :2]; b = y[:, 1:]; a.mul_(2); b.add_(1); return torch.cat([a, b], 1)
    y = x.clone(); kept = y[:, 0] * 1; seen = y[:, 0]; y[:, 0] = 0; return kept + seen
    y = x.clone(); y[:, 0] = x.mean(); y[:, 1:2] = x.amax(1, keepdim=True); return y
    y = x.clone(); y[:, :, 0] = torch.arange(8.0); y[..., -1].zero_(); return y
    y = x.clone(); y[:] = x.mean((1, 2, 3), keepdim=True); return y
    y = x.clone(); F.relu_(y[:, 0]); y[:, 1].masked_fill_(y[:, 1] > 0, 9.0); return y
    y = torch.zeros(len(x), 6, 8, 8); y[:, 1:4] = x; return y
    y = torch.empty_like(x); y.copy_(x); y.fill_(3); return x + y
    y = torch.empty(len(x), 3, 8, 8); y[:, 0:] = x; return y
    y = x.new_empty(len(x), 6, 8, 8); y[:, :3] = x; y[:, 3:] = x * 2; return y
    y = torch.zeros(3, 8, 8); y[0] = x.mean(0)[0]; return x + y
    y = x.long(); y[:, 0] = (x * 7)[:, 1]; return y.float()
    y = x > 0; y[:, 0] = True; return y.float()
    y = F.pad(x.unsqueeze(1), (1, 1, 2, 1, 1, 0), mode="circular"); return y
    q = x.reshape(len(x), 6, 4, 8); return F.scaled_dot_product_attention(q, q[:, :3], q[:, 3:], enable_gqa=True)
    q = x.reshape(len(x), 6, 4, 8); return F.scaled_dot_product_attention(q, q[:, :1], q[:, 2:3], enable_gqa=True)
    q = x.view(-1, 6, 4, 8); k = q[:, 4:]; return F.scaled_dot_product_attention(q, k, k, enable_gqa=True, scale=2)
"""


def said(statements: str) -> nn.Module:
    """A module whose forward() makes these statements."""
    found: dict[str, object] = {"torch": torch, "F": F}
    exec("def forward(self, x):\n    " + "\n    ".join(statements.split("; ")), found)
    return Of(found["forward"])


WRITTEN |= {each: said(each) for each in map(str.strip, STATEMENTS.strip().splitlines())}
LARGE_TABLE = torch.rand(8, 999)
# What is refused, and what is said.
UNWRITTEN = {
    "rounding": (lambda self, x: torch.div(x, 2, rounding_mode="floor"), "div at 'the top' has rounding_mode=floor"),
    "the batch's statistics": (nn.BatchNorm2d(3, track_running_stats=False), "batch_norm at .* statistics of the"),
    "a random number": (lambda self, x: x + torch.rand(1), "rand at 'the top' has no counterpart"),
    "the batch in a variance": (lambda self, x: x.var(), "var at 'the top' divides by one less than a number"),
    "the batch cut": (lambda self, x: x.split(1)[0] * 2, "another way for 3 images|split at .* cuts the batch"),
    "the batch as a number": (lambda self, x: x * x.shape[0], "mul at 'the top' has other=2 for 2 images, 3 for 3"),
    "Boolean index": (lambda self, x: x[x > 0], "way for 3 images|gt at 'the top' has no counterpart|picks by true"),
    "squeeze": (lambda self, x: x.squeeze() * 2, "squeeze at 'the top' leaves out whatever is 1"),
    "squeeze of the batch": (lambda self, x: x.squeeze(0) * 2, "squeeze at 'the top' leaves out the batch"),
    "two outputs": (lambda self, x: (x + 1, x + 2), "returns something else than one tensor"),
    "no output": (lambda self, x: None, "returns something else than one tensor"),
    "indices": (lambda self, x: nn.MaxPool2d(2, return_indices=True)(x)[1] * 1.0, "second result"),
    "other numbers": (lambda self, x: x.double().sum((1, 2, 3)).float(), "to_copy at 'the top' works with float32"),
    "another size": (nn.Linear(3, 5), "network does not run on 2 images of 3 x 8 x 8: "),
    "a number of the images": (lambda self, x: x + x.mean().item(), "add at .* has other=.* for 2 images, .* for 3"),
    "a bound of the images": (lambda self, x: x.clamp(min=x.mean(), max=9.0), "clamp at .* has min=.* for 2 im"),
    "a single number": (lambda self, x: x * x.mean().softmax(0), "softmax at .* works along a dimension of a single"),
    "a single number, sorted": (lambda self, x: x * x.mean().sort()[0], "sort at .* works along a dimension of a s"),
    "the variance of one": (lambda self, x: x * x.mean().var(correction=0), "var at .* is that of a single number"),
    "bits": (lambda self, x: (x.long() & 3).float(), "bitwise_and at 'the top' works bit by bit"),
    "lists along the batch": (lambda self, x: x[[0, 1], [1, 2]], "index at .* picks by several lists, one along"),
    "flags of the images": (lambda self, x: x[:, x[0].sum((1, 2)).argsort() > 0], "picks by true and false"),
    "added beyond the padding": (
        lambda self, x: F.conv_transpose2d(x, torch.ones(3, 2, 3, 3), output_padding=1, dilation=2),
        "convolution at 'the top' has output_padding=1, more than its stride and padding take up",
    ),
    "a scale between sizes": (lambda self, x: F.interpolate(x, None, 1.3, "bilinear"), "does not give whole"),
    "one image written": (said("y = x.clone(); y[0] = 1; return y"), "changed at .* written through a view in a way"),
    "images before others": (
        said("y = x.clone(); y.permute(2, 3, 0, 1)[0] = 3; return y * 2"),
        "changed at 'the top': numbers are written through a view in a way that has no counterpart here; make a new",
    ),
    "a view of all images": (said("y = x.clone(); y.view(-1)[::2] = 0; return y"), "written through a view in a way"),
    "numbers that share a place": (
        said("y = x.clone(); z = y[:, :1].expand(-1, 3, -1, -1); y[:, 0, 0] = 5; return z + 1"),
        "written through a view in a way",
    ),
    "a list of channels written": (said("y = x.clone(); y[:, [0, 2]] = 0; return y"), "index_put at .* has no"),
    "out": (said("y = x.clone(); torch.add(x, 1, out=y); return y"), "add at 'the top' has out=a tensor, which has"),
    "a large tensor": (lambda self, x: x @ LARGE_TABLE, "holds a tensor of .8, 999. that is n.*self.register_b"),
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
        (theirs,), ours = session.run(None, {"images": x.numpy()}), module.eval()(x)
        torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4, equal_nan=True)


@pytest.mark.filterwarnings("ignore:var")
@pytest.mark.parametrize("correction", [3, 5])
def test_a_variance_divides_by_nothing_where_there_are_too_few_numbers(correction: int) -> None:
    test_what_is_written_computes_the_same(lambda self, x: x.var(1, correction=correction))


def test_each_rule_is_tried() -> None:
    from casestudies.onnx_rules import RULES

    tried = {
        op.name
        for forward in WRITTEN.values()
        for op in record(module_of(forward), torch.randn(2, 3, 8, 8)).ops
    }
    assert sorted(set(RULES) - tried) == []


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
    from casestudies import export, onnx_rules

    wrong = (onnx_rules._elementwise("Sigmoid"), "self")
    monkeypatch.setitem(onnx_rules.RULES, "tanh", wrong)
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
    from casestudies import export, onnx_rules

    rule = onnx_rules._elementwise(wrong) if name == "tanh" else onnx_rules._scaled(wrong)
    monkeypatch.setitem(onnx_rules.RULES, name, (rule, onnx_rules.RULES[name][1]))
    with pytest.raises(ValueError, match=message):
        export.to_onnx(network, (3, 8, 8))


class Counting(nn.Module):
    """Counts its runs, in place or anew, and multiplies by their number or does not."""

    def __init__(self, in_place: bool, answers: bool) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))
        self.in_place, self.answers = in_place, answers

    def forward(self, x: Tensor) -> Tensor:
        self.runs = self.runs.add_(1) if self.in_place else self.runs + 1
        return x * self.runs if self.answers else x * 2


@pytest.mark.parametrize("in_place", [True, False])
def test_a_network_that_answers_otherwise_the_next_time_is_refused(in_place: bool) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from casestudies.export import to_onnx

    to_onnx(Counting(in_place, answers=False), (3, 8, 8))
    message = "network changes 'runs' in evaluation and answers otherwise the next time"
    with pytest.raises(ValueError, match=message):
        to_onnx(Counting(in_place, answers=True), (3, 8, 8))


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
    (
        [nn.Sequential(nn.ReLU())] * 9,
        (3, 8, 8),
        TypeError,
        r"^network is \[Sequential\( \(0\).{0,70} \(list\); expected [^\n]*$",
    ),
    (nn.ReLU(), "abc", ValueError, "image is 'abc'"),
    (nn.ReLU(), (3, 8), ValueError, r"image is \(3, 8\)"),
    (nn.ReLU(), (3, 0, 8), ValueError, "image is"),
]


@pytest.mark.parametrize("network, image, error, message", BAD)
def test_a_bad_network_or_image_is_named(network, image, error, message) -> None:
    from casestudies.export import to_onnx

    with pytest.raises(error, match=message):
        to_onnx(network, image)
