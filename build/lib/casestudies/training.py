"""One plain training loop: what every experiment of the course runs, and nothing more.

A run is decided by its settings and its seed. Each epoch draws its random numbers from the seed and its own
number, so a run that was interrupted and resumed from its checkpoint gives the very same weights as one that
was not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.data import Split

Augment = Callable[[Tensor], Tensor]


class Record(TypedDict, total=False):
    """How a run was made; `seconds` on the clock is None where it was interrupted in between."""

    command: str
    data: str
    hardware: str
    torch: str
    threads: int
    date: str
    seconds: int | None


Contents = dict[str, Any]  # of a JSON object
Settings = dict[str, Any]  # of a training, by name


@dataclass
class AsJson:
    """A dataclass that is kept as JSON. What JSON does not give back as it was, `_read` makes anew."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**cls._read(json.loads(text)))

    @classmethod
    def _read(cls, content: Contents) -> Contents:
        return content


@dataclass
class History(AsJson):
    """What happened in each epoch. Errors are shares of the images, 0 to 1.

    Training loss and error are averages over the epoch's batches as they are met, in training mode.
    `gradient_norm` is the norm of the gradient of the first convolution's weights, averaged over the batches.
    """

    settings: Settings = field(default_factory=dict)
    train_loss: list[float] = field(default_factory=list)
    train_error: list[float] = field(default_factory=list)
    test_error: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train_loss)

    def save(self, path: str | Path) -> None:
        write_atomically(Path(path), self.to_json().encode())

    @classmethod
    def load(cls, path: str | Path) -> History:
        return cls.from_json(Path(path).read_text())

    def __str__(self) -> str:
        lines = ["epoch  training loss  training error  test error  first gradient"]
        for row in zip(self.train_loss, self.train_error, self.test_error, self.gradient_norm, strict=True):
            loss, train_error, test_error, norm = row
            lines.append(
                f"{len(lines):5d}  {loss:13.4f}  {train_error:14.2%}  {test_error:10.2%}  {norm:14.4f}"
            )
        return "\n".join(lines)


@dataclass
class TrainedRun(AsJson):
    """One trained network, with its history among other fields."""

    @classmethod
    def _read(cls, content: Contents) -> Contents:
        return {**content, "history": History(**content["history"])}


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the file, then rename: a reader never meets half a file, nor does a run that is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    beside.write_bytes(content)
    beside.replace(path)


def learning_rate(schedule: str, base: float, epoch: float, epochs: int) -> float:
    """The rate at a (fractional) epoch.

    "cosine" falls from `base` to 0 along half a cosine; "step" divides by ten after one half and after three
    quarters of the epochs, as He et al. (2015) do on CIFAR-10; "constant" stays.

    >>> [learning_rate("step", 0.1, epoch, 8) for epoch in (0, 4, 6)]
    [0.1, 0.01, 0.001]
    """
    progress = epoch / epochs
    if schedule == "cosine":
        return base * (1 + math.cos(math.pi * progress)) / 2
    if schedule == "step":
        return base / (1 if progress < 0.5 else 10 if progress < 0.75 else 100)
    if schedule == "constant":
        return base
    raise ValueError(f'schedule is {schedule!r}; expected "cosine", "step" or "constant"')


def first_convolution(network: nn.Module) -> Tensor:
    """The weights of the first convolution, or of the first layer that has weights where there is none."""
    layers = list(network.modules())
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            return layer.weight
    for parameter in network.parameters():
        return parameter
    raise ValueError("network has no parameters; there is nothing to train")


@torch.no_grad()
def predict(network: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Logits (N, num_classes) in evaluation mode; the network's own mode is restored afterwards."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    logits = torch.cat([network(batch.to(device)) for batch in x.split(batch_size)])
    network.train(was_training)
    return logits.cpu()


def error_rate(network: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256) -> float:
    """The share of images whose largest logit is not that of their class."""
    return (predict(network, x, batch_size).argmax(dim=1) != y).float().mean().item()


def crop_and_flip(x: Tensor, padding: int = 4) -> Tensor:
    """The augmentation of He et al. (2015) on CIFAR-10: pad, take a random crop, flip every other image."""
    count, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)
    rows = torch.randint(2 * padding + 1, (count, 1)) + torch.arange(height)  # (N, H)
    columns = torch.randint(2 * padding + 1, (count, 1)) + torch.arange(width)  # (N, W)
    flipped = torch.rand(count, 1) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    images = torch.arange(count)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return picked.permute(0, 3, 1, 2).contiguous()


def check_settings(data: Split, epochs: int, batch_size: int, lr: float) -> None:
    """Raise ValueError for settings that no run can have, naming the setting, its value and what was expected."""
    if len(data.train_x) == 0 or len(data.test_x) == 0:
        raise ValueError(f"data is {data!r}; training needs at least one training and one test image")
    if epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; expected at least 1")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; expected at least 1")
    if not lr > 0:
        raise ValueError(f"lr is {lr!r}; the learning rate must be above 0")


def train(
    network: nn.Module,
    data: Split,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Literal["sgd", "adam"] = "sgd",
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    schedule: Literal["cosine", "step", "constant"] = "cosine",
    augment: Augment | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    on_epoch: Callable[[History], None] | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
) -> History:
    """Train `network` in place with the cross entropy of its logits, and return the history.

    The network must come in the same state for the same result: seed before building it. With `checkpoint`,
    the state is written there after every epoch, and a later call with the same settings goes on from it.
    `on_epoch` is called with the history after every epoch. `progress` shows a bar; by default where the
    output is a terminal. A loss that is no longer finite raises FloatingPointError.
    """
    check_settings(data, epochs, batch_size, lr)
    from tqdm import tqdm

    settings = {
        "data": data.name,
        "image": list(data.image),
        "images": len(data.train_x),
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "lr": lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "augment": getattr(augment, "__name__", None),
        "seed": seed,
    }
    network.to(device).train()
    watched = first_convolution(network)
    steps = make_optimizer(network, optimizer, lr, momentum, weight_decay)
    history = History(settings)
    path = Path(checkpoint) if checkpoint is not None else None
    if path is not None and path.exists():
        history = restore(path, network, steps, settings)

    batches = math.ceil(len(data.train_x) / batch_size)
    quiet = not (sys.stderr.isatty() if progress is None else progress)
    done = len(history)
    with tqdm(total=epochs * batches, initial=done * batches, disable=quiet, unit="batch") as bar:
        for epoch in range(done, epochs):
            with torch.random.fork_rng(devices=[]):  # leave the caller's random numbers alone
                torch.manual_seed(seed * 1_000_003 + epoch)
                loss_sum, wrong, norm_sum = 0.0, 0, 0.0
                order = torch.randperm(len(data.train_x))
                for index, chosen in enumerate(order.split(batch_size)):
                    x, y = data.train_x[chosen], data.train_y[chosen].to(device)
                    if augment is not None:
                        x = augment(x)
                    for group in steps.param_groups:
                        group["lr"] = learning_rate(schedule, lr, epoch + index / batches, epochs)
                    logits = network(x.to(device))
                    loss = F.cross_entropy(logits, y)
                    steps.zero_grad(set_to_none=True)
                    loss.backward()
                    steps.step()
                    loss_sum += loss.item() * len(y)
                    wrong += int((logits.argmax(dim=1) != y).sum())
                    norm_sum += float(watched.grad.norm()) if watched.grad is not None else 0.0
                    bar.update()
                    if not math.isfinite(loss_sum):
                        raise FloatingPointError(
                            f"the loss is no longer finite in epoch {epoch + 1}; lr is {lr}, try a tenth"
                        )
            count = len(data.train_x)
            history.train_loss.append(loss_sum / count)
            history.train_error.append(wrong / count)
            history.test_error.append(error_rate(network, data.test_x, data.test_y))
            history.gradient_norm.append(norm_sum / batches)
            bar.set_postfix(train=f"{wrong / count:.1%}", test=f"{history.test_error[-1]:.1%}")
            if path is not None:
                store(path, network, steps, history)
            if on_epoch is not None:
                on_epoch(history)
    return history


def make_optimizer(
    network: nn.Module, name: str, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Make the optimizer "sgd" or "adam"; ValueError for another name."""
    if name == "sgd":
        return torch.optim.SGD(network.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr, weight_decay=weight_decay)
    raise ValueError(f'optimizer is {name!r}; expected "sgd" or "adam"')


def store(path: Path, network: nn.Module, steps: torch.optim.Optimizer, history: History) -> None:
    """Write the checkpoint: weights, optimizer and history."""
    import io

    content = io.BytesIO()
    torch.save(
        {"network": network.state_dict(), "optimizer": steps.state_dict(), "history": asdict(history)},
        content,
    )
    write_atomically(path, content.getvalue())


def restore(
    path: Path, network: nn.Module, steps: torch.optim.Optimizer, settings: Mapping[str, Any]
) -> History:
    """Read the checkpoint back; ValueError where it belongs to another run."""
    try:
        state = torch.load(path, weights_only=True)
        history = History(**state["history"])
    except Exception as error:
        kind = type(error).__name__  # torch's own text is long, and advises to trust the file
        raise ValueError(f"checkpoint {path} cannot be read ({kind}); delete it to start anew") from error
    differing = [key for key in settings if history.settings.get(key) != settings[key]]
    if differing:
        was = ", ".join(
            f"{key} {history.settings.get(key)!r} instead of {settings[key]!r}" for key in differing
        )
        raise ValueError(f"checkpoint {path} is of another run, with {was}; delete it or name another file")
    try:
        network.load_state_dict(state["network"])
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint {path} is of another network; delete it or name another file"
        ) from error
    steps.load_state_dict(state["optimizer"])
    return history


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`casestudies train NETWORK --data digits`."""
    parser = subparsers.add_parser("train")
    parser.add_argument("network", help="its name, such as lenet5 (see: casestudies networks)")
    parser.add_argument("--data", default="digits", help="digits (default), fashion_mnist or cifar10")
    parser.add_argument("--root", help="a folder or tar that holds the data, instead of a download")
    parser.add_argument("--image", type=int, help="side of the images; default: the network's own")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--schedule", choices=["cosine", "step", "constant"], default="cosine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoint", help="write the state here after every epoch, and go on from it")
    parser.add_argument("--history", help="write the history here, as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train as the command line says; print the history."""
    from casestudies import data as data_sets
    from casestudies.zoo import build, variant

    network_image = variant(args.network).image
    data = data_sets.load(args.data, root=args.root, size=args.image or network_image[1])
    torch.manual_seed(args.seed)
    network = build(args.network, num_classes=len(data.classes))
    history = train(
        network,
        data.with_channels(network_image[0]),
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        lr=args.lr,
        weight_decay=args.weight_decay,
        schedule=args.schedule,
        augment=crop_and_flip if args.data == "cifar10" else None,
        seed=args.seed,
        checkpoint=args.checkpoint,
        device=args.device,
    )
    print(history)
    print(f"test accuracy {1 - history.test_error[-1]:.2%}")
    if args.history:
        history.save(args.history)
    return 0
