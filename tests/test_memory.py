"""Memory: what autograd saves and optimisers keep, against torch itself; the peak against closed forms."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from casestudies import figures, zoo
from casestudies.costs import ledger, memory
from casestudies.graph import record
from casestudies.hollow import tensors_in
from casestudies.networks import resnet
from casestudies.replay import carry_out
from casestudies.zoo import VARIANTS


class Gate(nn.Module):
    """In-place operations, views, and a product of two activations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.conv(x))
        return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]


def grouped() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.SiLU(), nn.Conv2d(8, 8, 3, groups=8))


def pools() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.Dropout(), nn.AvgPool2d(2))


class Tokens(nn.Module):
    """A layer at work on the pixels of an image, one token each."""

    def __init__(self, layer: nn.Module, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.run = layer, run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.layer, x.flatten(2).mT)


def fill(conv: nn.Module, tokens: Tensor) -> Tensor:
    x = tokens.mT.reshape(-1, 3, 8, 8)
    out = x.new_zeros(len(x), 6, 8, 8)
    out[:, :3] = conv(x)
    return out


def masked(layer: nn.Module, tokens: Tensor) -> Tensor:
    q = layer(tokens)[:, None]
    allowed = torch.ones(64, 64, dtype=torch.bool, device=q.device).tril()
    return F.scaled_dot_product_attention(q, q, q, attn_mask=allowed)


def wide(layer: nn.Module, tokens: Tensor) -> Tensor:
    tokens = F.pad(tokens, (0, 1))
    return layer(tokens[:, :9], tokens[:, :5])


def frozen_part(layer: nn.Module, tokens: Tensor) -> Tensor:
    """What is detached or made without gradients has no backward pass."""
    with torch.no_grad():
        fixed = layer(tokens)
    return layer(fixed) * layer(tokens).detach() + layer(tokens.detach())


def warped(layer: nn.Module, tokens: Tensor) -> Tensor:
    places = F.affine_grid(layer(tokens.mean(1)).view(-1, 2, 3), [len(tokens), 3, 8, 8], align_corners=False)
    return F.grid_sample(tokens.mT.reshape(-1, 3, 8, 8), places, align_corners=False)


def solved(layer: nn.Module, tokens: Tensor) -> Tensor:
    mixed = layer(tokens)
    return torch.linalg.solve(mixed.mT @ mixed + torch.eye(3, device=tokens.device), mixed.mT)


class Doubled(torch.autograd.Function):
    """Its operations run without gradients, and its result has one."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x + (x @ weight).relu() @ weight

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        with torch.enable_grad():
            x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
            first = (x @ weight).relu()
            return torch.autograd.grad(x + first @ weight, (x, weight), gradient)


def enlarged() -> nn.Module:
    layers = nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 1)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def half() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).bfloat16()


def heads(**options: float) -> nn.Module:
    return nn.MultiheadAttention(3, 3, batch_first=True, **options)


RECURRENT = {"batch_first": True}
OTHERS = {
    "attention": (lambda: Tokens(heads(), lambda m, q: m(q, q, q, need_weights=False)[0]), (3, 8, 8), 2),
    "attention with weights": (lambda: Tokens(heads(), lambda m, q: m(q, q, q)[0]), (3, 8, 8), 2),
    "attention with dropout": (
        lambda: Tokens(heads(dropout=0.1), lambda m, q: m(q, q, q, need_weights=False)[0]), (3, 8, 8), 2),
    "masked attention": (lambda: Tokens(nn.Linear(3, 8), masked), (3, 8, 8), 2),
    "encoder": (
        lambda: Tokens(nn.TransformerEncoderLayer(3, 3, 8, 0.0, batch_first=True), lambda m, q: m(q)), (3, 8, 8), 2),
    "transformer": (
        lambda: Tokens(nn.Transformer(4, 2, 1, 1, 8, 0.0, batch_first=True), wide),
        (3, 8, 8), 2),
    "GRU": (lambda: Tokens(nn.GRU(3, 4, 2, **RECURRENT), lambda m, q: m(q)[0]), (3, 8, 8), 2),
    "RNN": (lambda: Tokens(nn.RNN(3, 4, 2, **RECURRENT), lambda m, q: m(q)[0]), (3, 8, 8), 2),
    "LSTM cell": (lambda: Tokens(nn.LSTMCell(3, 4), lambda m, q: m(q[:, 0])[0]), (3, 8, 8), 2),
    "parts without gradients": (lambda: Tokens(nn.Linear(3, 3), frozen_part), (3, 8, 8), 2),
    "upsampled": (enlarged, (3, 8, 8), 2),
    "warped": (lambda: Tokens(nn.Linear(3, 6), warped), (3, 8, 8), 2),
    "solved": (lambda: Tokens(nn.Linear(3, 3), solved), (3, 8, 8), 2),
    "orthogonal": (
        lambda: Tokens(nn.utils.parametrizations.orthogonal(nn.Linear(3, 8)), lambda m, q: m(q)), (3, 8, 8), 2),
    "distances": (lambda: Tokens(nn.Linear(3, 8), lambda m, q: torch.cdist(m(q), m(q).flip(1))), (3, 8, 8), 2),
    "filled in place": (lambda: Tokens(nn.Conv2d(3, 3, 3, padding=1), fill), (3, 8, 8), 2),
    "a vector": (lambda: Tokens(nn.Linear(3, 8), lambda m, q: m(q) @ m.weight[:, 0]), (3, 8, 8), 2),
}  # fmt: skip

# A small network, its image, and a batch in training
TRAINED = {
    "gate": (Gate, (3, 8, 8), 2),
    "lenet5": (lambda: zoo.build("lenet5"), (1, 32, 32), 3),
    "lenet5_original": (lambda: zoo.build("lenet5_original"), (1, 32, 32), 1),
    "cifar_resnet20": (lambda: zoo.build("cifar_resnet20"), (3, 32, 32), 2),
    "groups": (grouped, (4, 8, 8), 2),
    "pools": (pools, (3, 8, 8), 2),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.BatchNorm2d(4)), (3, 8, 8), 2),
}  # fmt: skip
each_trained = pytest.mark.parametrize("make, image, batch", TRAINED.values(), ids=TRAINED)


@pytest.mark.parametrize("make, image, batch", (TRAINED | OTHERS).values(), ids=TRAINED | OTHERS)
def test_saved_is_what_saved_tensors_hooks_count(make, image, batch):
    network = make().train()
    held = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.randn(batch, *image))
    counted = sum(tensor.untyped_storage().nbytes() for where, tensor in kept.items() if where not in held)
    assert memory(network, image, batch=batch, training=True).saved == counted > 0


@pytest.mark.parametrize("make, image, batch", (TRAINED | OTHERS).values(), ids=TRAINED | OTHERS)
def test_forward_and_backward_macs_are_half_of_torchs_flops(make, image, batch):
    network = make().train()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(batch, *image)).sum().backward()
    found = memory(network, image, batch=batch, training=True)
    left_out = [re.search(r"leaves out .*: ([\d,]+) MACs here", note) for note in found.notes]
    noted = sum(int(match[1].replace(",", "")) for match in left_out if match)
    counted = found.macs + found.backward_macs + found.miscounted - noted
    assert 2 * counted == counter.get_total_flops() > 0


class Slope(nn.Module):
    """Takes a gradient within its forward pass, and goes on with it."""

    def __init__(self, bend, keep: bool = True) -> None:
        super().__init__()
        self.conv, self.last, self.bend, self.keep = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Linear(192, 5),
            bend,
            keep,
        )

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_() * 1
            (slope,) = torch.autograd.grad(self.bend(self.conv(x)).sum(), x, create_graph=self.keep)
        return self.last((x + slope).flatten(1))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "bend", [torch.tanh, torch.sigmoid, F.silu, F.softplus, lambda y: y * y * y, lambda y: y**2]
)
def test_gradients_of_gradients_are_counted(bend, keep):
    test_forward_and_backward_macs_are_half_of_torchs_flops(lambda: Slope(bend, keep), (3, 8, 8), 2)


def test_precisions_share_the_statistics_of_their_kind():
    network = half().train()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    held = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.randn(2, 3, 8, 8).bfloat16())
    counted = sum(size for where, size in kept.items() if where not in held)
    assert memory(network, (3, 8, 8), batch=2, training=True).saved == counted


def test_a_function_with_a_backward_pass_of_its_own_is_counted_by_what_it_does_and_named():
    network = Tokens(nn.Linear(3, 3), lambda m, q: Doubled.apply(m(q), m.weight))
    found = memory(network, (3, 8, 8), batch=2, training=True)
    one = 2 * 64 * 3 * 3
    # A product has two gradients; the first layer has none for the image.
    assert (found.macs, found.backward_macs) == (3 * one, 5 * one)
    assert any(note.startswith("Doubled has a backward pass of its own") for note in found.notes)


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_is_noted_and_not_counted(reentrant):
    def run(layer: nn.Module, tokens: Tensor) -> Tensor:
        return checkpoint(layer, layer(tokens), use_reentrant=reentrant)

    found = memory(Tokens(nn.Linear(3, 3), run), (3, 8, 8), batch=2, training=True)
    plain = memory(Tokens(nn.Linear(3, 3), lambda m, q: m(m(q))), (3, 8, 8), batch=2, training=True)
    assert (found.macs, found.backward_macs) == (plain.macs, plain.backward_macs)
    assert "what a checkpoint computes again in the backward pass is not counted" in found.notes
    assert not plain.notes


def test_the_fused_kernel_of_attention_counts_as_its_products_do():
    fused, plain = (
        memory(OTHERS[name][0](), (3, 8, 8), batch=2, training=True)
        for name in ("attention", "attention with weights")
    )
    assert (fused.macs, fused.backward_macs) == (plain.macs, plain.backward_macs)


BIDIRECTIONAL = Tokens(nn.GRU(3, 4, bidirectional=True, batch_first=True), lambda m, q: m(q)[0])


@pytest.mark.parametrize(
    "network",
    [Tokens(nn.LSTM(3, 4, batch_first=True), lambda m, q: m(q)[0]), BIDIRECTIONAL],
    ids=["LSTM", "GRU"],
)
def test_what_a_kernel_keeps_to_itself_is_not_given(network):
    found = memory(network, (3, 8, 8), training=True)
    assert (found.saved, found.total, found.activations) == (None, None, None)
    assert "not known" in str(found) and "not known" in found._repr_html_()
    assert sum("what autograd saves for" in note for note in found.notes) == 1
    assert figures.timeline(found).alt
    assert memory(network, (3, 8, 8)).total


def test_memory_leaves_torchs_functions_as_they_were():
    before = F.scaled_dot_product_attention
    memory(OTHERS["attention"][0](), (3, 8, 8), training=True)
    with pytest.raises(ValueError):
        memory(nn.Conv2d(1, 1, 3), (3, 8, 8))
    assert F.scaled_dot_product_attention is before


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 5)
        self.cut = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.cut(x.mean((2, 3)))
        return self.used(x) + self.cut(x.mean((2, 3))).detach().mean()


def test_parameters_that_no_gradient_reaches_have_no_gradient_and_no_state():
    network = Unused()
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    found = memory(network, (3, 8, 8), batch=2, training=True, optimizer="adam")
    counted = sum(each.grad.nbytes for each in network.parameters() if each.grad is not None)
    assert found.gradients == counted
    assert found.optimizer_state == 2 * counted + 4 * 2
    assert found.weights == sum(each.nbytes for each in network.parameters())


class Ends(nn.Module):
    """Two layers, whose outputs are returned in one way or another."""

    def __init__(self, run: Callable[[nn.Module, nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.run, self.one, self.two = run, nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> object:
        return self.run(self.one, self.two, x)


def without_gradient(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x).relu_().mul_(layer.bias)


@pytest.mark.parametrize(
    "run",
    [
        lambda one, two, x: (one(x), without_gradient(two, x)),
        lambda one, two, x: (one(x), two(x).argmax(1)),
        lambda one, two, x: (one(x), two(x) > 0),
        lambda one, two, x: without_gradient(two, without_gradient(one, x)),
        lambda one, two, x: two(one(x).mul_(2).relu_()),
        lambda one, two, x: torch.zeros(len(x), 9).index_copy_(1, torch.arange(8), two(x)),
    ],
    ids="target argmax mask nothing all filled".split(),
)
def test_no_gradient_comes_from_outputs_that_require_none(run):
    network = Ends(run)
    ends = [each for each in tensors_in((network(torch.rand(2, 8)),)) if each.requires_grad]
    with FlopCounterMode(display=False) as counter:
        if ends:
            sum(each.sum() for each in ends).backward()
    found = memory(network, (8,), batch=2, training=True, optimizer="adam")
    trained = [each.grad.nbytes for each in network.parameters() if each.grad is not None]
    assert found.gradients == sum(trained)
    assert found.optimizer_state == 2 * sum(trained) + 4 * len(trained)
    assert 2 * sum(step.backward_macs for step in found.steps) == counter.get_total_flops()


def test_a_tensor_that_the_network_makes_is_not_made_to_ask_for_its_backward_pass():
    network = Ends(lambda one, two, x: one(x) * torch.randn(8, requires_grad=torch.is_grad_enabled()))
    before = torch.get_rng_state()
    found = memory(network, (8,), training=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any("randn" in note for note in found.notes)


def test_each_dtype_has_its_own_size():
    network = nn.Conv2d(3, 4, 3)
    network.register_buffer("flags", torch.ones(10, dtype=torch.bool))
    network.register_buffer("waves", torch.ones(10, dtype=torch.complex128))
    network.small = nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    network.complex = nn.Parameter(torch.ones(16, dtype=torch.complex64))
    found = memory(network, (3, 8, 8))
    assert found.buffers == 10 + 160
    assert found.weights == 4 * (4 * 27 + 4) + 3 + 128


OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_the_optimizer_is_what_torch_keeps(name):
    network = resnet.cifar_resnet(8)
    optimizer = OPTIMIZERS[name](network.parameters())
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    kept = [each for state in optimizer.state.values() for each in state.values() if isinstance(each, Tensor)]
    found = memory(network, (3, 32, 32), batch=2, training=True, optimizer=name)
    assert found.optimizer_state == sum(tensor.nbytes for tensor in kept)
    assert found.gradients == sum(parameter.grad.nbytes for parameter in network.parameters())


def test_frozen_weights_have_no_gradients_and_no_state():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1))
    network[0].requires_grad_(False)
    found = memory(network, (3, 8, 8), training=True, optimizer="momentum")
    assert found.gradients == found.optimizer_state == 4 * (5 * 4 + 5)
    assert found.weights == 4 * (4 * 3 + 4 + 5 * 4 + 5)
    assert found.backward_macs == 5 * 4 * 64  # of the second one's weights alone


class Skip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(torch.tanh(x))


# network, numbers per image of 3 x 8 x 8 that are held at the peak of inference
PEAKS = [
    (nn.Tanh(), 2 * 192),
    (nn.Sequential(nn.Tanh(), nn.Tanh(), nn.Tanh()), 2 * 192),  # what is behind is forgotten
    (Skip(), 3 * 192),  # but not what a shortcut still needs
    (nn.Sequential(nn.ReLU(inplace=True), nn.Flatten()), 192),
    (nn.Sequential(nn.Conv2d(3, 6, 1), nn.MaxPool2d(2)), 192 + 384),
    (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 6, 1)), 192 + 48),
]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("network, numbers", PEAKS, ids=lambda value: str(value)[:30])
def test_peak_of_inference_is_that_of_the_closed_form(network, numbers, batch):
    assert memory(network, (3, 8, 8), batch=batch).peak == 4 * numbers * batch


def test_what_is_kept_grows_to_what_is_saved():
    found = memory(resnet.cifar_resnet(8), (3, 32, 32), batch=2, training=True)
    kept = [step.kept for step in found.steps]
    assert kept == sorted(kept) and kept[-1] == found.saved


def test_bytes_moved_are_those_of_what_goes_in_and_out():
    (step,) = memory(nn.Conv2d(3, 4, 3, bias=False), (3, 8, 8)).steps
    assert (step.read, step.written) == (4 * (3 * 64 + 4 * 27), 4 * 4 * 36)
    assert step.intensity == 2 * step.macs / step.moved
    flat = memory(nn.Flatten(), (3, 8, 8)).steps
    assert [(each.kind, each.moved) for each in flat] == [("Flatten", 0)]


def test_totals_add_up():
    found = memory(zoo.skeleton("resnet18"), training=True, optimizer="adam")
    parts = found.totals()
    assert parts["total"] == found.total
    assert found.total == found.weights + found.buffers + found.gradients + found.optimizer_state + max(
        found.saved, found.peak
    )
    assert f"{found.total:,}" in str(found) and f"{found.total:,}" in found._repr_html_()


def test_the_three_figures_differ():
    network, image = zoo.skeleton("vgg16"), VARIANTS["vgg16"].image
    written = ledger(network, image).activation_memory
    peak, saved = memory(network, image).peak, memory(network, image, training=True).saved
    assert peak < saved < written or peak < written < saved


# arguments, what the error says
BAD = [
    ({"batch": 0}, "batch is 0; expected a number of images, at least 1"),
    ({"batch": 1.5}, "batch is 1.5"),
    ({"batch": True}, "batch is True"),
    ({"optimizer": "adam"}, "optimizer is 'adam', but training is False"),
    ({"optimizer": ["sgd"], "training": True}, r"optimizer is \['sgd'\]; expected one of sgd"),
    ({"image": (1, 8, 8)}, "expects 3 channels and receives 1; image is"),
    ({"image": (3, 10**10, 10**10)}, "more bytes than torch can count"),
    ({"image": {3, 8, 9}}, "image is {"),
    ({"image": b"abc"}, "image is b'abc'"),
    (
        {"optimizer": "lion", "training": True},
        "optimizer is 'lion'; expected one of sgd, momentum, adam, adamw",
    ),
    ({"image": (3, 0, 8)}, r"image is \(3, 0, 8\)"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        memory(nn.Conv2d(3, 4, 1), **({"image": (3, 8, 8)} | arguments))


def test_a_batch_norm_left_with_one_number_asks_for_a_larger_batch():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="batch is 1: a batch norm of Sequential .*; pass batch=2 or more"):
        memory(network, (3, 8, 8), training=True)
    assert memory(network, (3, 8, 8), training=True, batch=2).saved


@pytest.mark.parametrize("image", [(3, 8, 8), (1, 224, 224), (3, 31, 40)])
def test_memory_and_ledger_say_the_same_about_an_image_that_does_not_fit(image):
    said = []
    for function in (ledger, memory):
        with pytest.raises(ValueError) as caught:
            function(zoo.skeleton("vgg16"), image)
        said.append(str(caught.value))
    assert said[0] == said[1] and said[0].startswith("image")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_training_is_true_or_false(value):
    with pytest.raises(TypeError, match=r"training is .*; expected True or False"):
        memory(nn.Conv2d(3, 4, 1), (3, 8, 8), training=value)


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that operations made and that are still there."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights, self.sizes, self.most = weights, {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.weights and storage._cdata not in self.sizes:
                self.sizes[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.sizes.pop, storage._cdata)
        self.most = max(self.most, sum(self.sizes.values()))
        return result


@pytest.mark.parametrize("name", ["lenet5", "nin_cifar10", "cifar_resnet20", "cifar_preresnet20"])
def test_the_peak_is_what_torch_holds_if_each_tensor_goes_after_its_last_reader(name):
    network, image = zoo.build(name).eval(), VARIANTS[name].image
    graph = record(network, torch.zeros(2, *image))
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    held = {each.value: state[each.name].detach() for each in graph.state if each.value is not None}
    last = {value: place for place, op in enumerate(graph.ops) for value in op.reads}
    alive = Alive({tensor.untyped_storage()._cdata for tensor in held.values()})
    with torch.no_grad(), alive:
        held[graph.inputs[0]] = torch.zeros(2, *image)
        for place, op in enumerate(graph.ops):
            held.update(zip(op.outputs, carry_out(op, held), strict=True))
            for value in (*op.reads, *op.outputs):
                if last.get(value, -1) <= place and value not in graph.outputs:
                    held.pop(value, None)
    assert memory(network, image, batch=2).peak == alive.most


@pytest.mark.parametrize("last", (False, True))
@pytest.mark.parametrize("padding", (None, 2))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16))
@pytest.mark.parametrize("mode, weighted", (("sum", False), ("sum", True), ("mean", False), ("max", False)))
def test_bags_of_embeddings_keep_what_their_kernel_keeps(mode, dtype, padding, last, weighted):
    """Which lists the kernel makes depends on the mode, the dtype and the padding."""

    class Bags(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(10, 8, dtype=dtype))

        def forward(self, x: Tensor) -> Tensor:
            count = 64 * len(x)
            places = torch.arange(count, device=x.device) % 10
            ends = torch.arange(0, count + (1 if last else 0), 64, device=x.device)
            weights = torch.ones(count, dtype=dtype, device=x.device) if weighted else None
            return F.embedding_bag(
                places, self.weight, ends, mode=mode, include_last_offset=last, padding_idx=padding,
                per_sample_weights=weights,
            )  # fmt: skip

    network = Bags()
    kept: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor is not network.weight and storage.nbytes():
            kept[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.rand(2, 3, 8, 8))
    measured = memory(network, (3, 8, 8), batch=2, training=True)
    assert measured.saved == sum(size for size, _ in kept.values())


class Into(nn.Module):
    """Writes into a tensor of its own with `out=`, which torch refuses where gradients are recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.mul(y, 2, out=torch.empty_like(y))


def test_an_image_that_is_suggested_works_in_training() -> None:
    # With gradients no image works, so none is suggested.
    with pytest.raises(RuntimeError, match="don't support automatic differentiation") as raised:
        memory(Into(), (3, 8, 8), training=True)
    assert "image that works" not in str(raised.value)
    assert memory(Into(), (3, 8, 8)).peak > 0
    # A single image of 3 x 3 x 3 leaves the norm one number a channel; the ledger takes two of them.
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    for batch, smallest in (1, 4), (2, 3):
        with pytest.raises(ValueError, match=f"that works is 3 x {smallest} x {smallest}$"):
            memory(network, (3, 2, 2), training=True, batch=batch)
        memory(network, (3, smallest, smallest), training=True, batch=batch)
