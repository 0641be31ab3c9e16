"""Memory: what autograd saves and optimisers keep, against torch itself; the peak against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from casestudies import zoo
from casestudies.costs import memory
from casestudies.networks import resnet
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


@each_trained
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


@each_trained
def test_forward_and_backward_macs_are_half_of_torchs_flops(make, image, batch):
    network = make().train()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(batch, *image)).sum().backward()
    found = memory(network, image, batch=batch, training=True)
    assert 2 * (found.macs + found.backward_macs + found.miscounted) == counter.get_total_flops() > 0


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
    from casestudies.costs import ledger

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
