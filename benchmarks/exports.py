"""How far an exported network is from torch: each network of the zoo in onnxruntime, beside float64.

    python benchmarks/exports.py                         the whole zoo (about half an hour)
    python benchmarks/exports.py resnet18_a lenet5       some networks
    python benchmarks/exports.py --keep exports.jsonl    goes on where an interrupted run stopped

Torch and onnxruntime both compute in float32, in other orders, so their logits differ by rounding, and a deep network
enlarges a rounding: one in the images of cifar_preresnet1001 becomes ten thousand times as large in its logits, in
float64 too. The difference between the two therefore says nothing by itself. Here both are compared with the same
network in float64: "torch" is the largest error of a logit in torch's float32, "onnxruntime" that of the file, both
as a part of the largest logit. The file fits where its error is below FLOOR, or at most FACTOR times torch's own.
Batch norms hold the statistics of random images, since without them an untrained network can overflow.
Kept results are used again while the code that writes the file is the same. Exit status: how many do not fit.
Needs `pip install "casestudies[export]"`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import importlib.util
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from casestudies import export, graph, replay, zoo
from casestudies.zoo import VARIANTS

FLOOR = 1e-5
FACTOR = 4
BATCH = 3  # another one than those that are recorded


@dataclass(frozen=True)
class Measured:
    """The errors of the logits of a network, as a part of the largest logit."""

    name: str
    torchs: float
    onnxruntimes: float
    apart: float  # the difference between the two

    @property
    def fits(self) -> bool:
        return self.onnxruntimes <= max(FLOOR, FACTOR * self.torchs)

    def line(self) -> str:
        verdict = "fits" if self.fits else "DOES NOT FIT"
        return f"{self.name:28}{self.torchs:12.1e}{self.onnxruntimes:14.1e}{self.apart:12.1e}  {verdict}"


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


def measure(name: str) -> Measured:
    """Export a network with random weights, and run it three ways on the same images."""
    import onnxruntime

    torch.manual_seed(0)
    network, image = zoo.build(name), VARIANTS[name].image
    settle(network, image)
    network.eval()
    session = onnxruntime.InferenceSession(export.to_onnx(network, image).SerializeToString())
    x = torch.randn(BATCH, *image)
    with torch.no_grad():
        ours = network(x).double()
        exact = copy.deepcopy(network).double()(x.double())
    theirs = torch.from_numpy(session.run(None, {"images": x.numpy()})[0]).double()
    if theirs.shape != exact.shape:
        raise ValueError(f"{name}: the file gives {tuple(theirs.shape)}, the network {tuple(exact.shape)}")
    if not exact.isfinite().all():
        raise ValueError(f"{name}: the network gives logits that are not finite")
    largest = exact.abs().max()
    errors = (ours - exact, theirs - exact, theirs - ours)
    return Measured(name, *(float(each.abs().max() / largest) for each in errors))


def code() -> str:
    """A hash of what writes the file."""
    texts = [Path(module.__file__).read_bytes() for module in (export, graph, replay)]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def kept(path: Path | None) -> dict[str, Measured]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["name"]: Measured(**row) for row in rows if row.pop("code") == code()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="networks of ours; all when left out")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where results are kept as they come")
    arguments = parser.parse_args()
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            print(f'skipped: {package} is not installed (pip install "casestudies[export]")')
            return 0
    names = [zoo.variant(name).name for name in arguments.names] or list(VARIANTS)
    torch.set_num_threads(1)
    known, found = kept(arguments.keep), []
    print(f"{'network':28}{'torch':>12}{'onnxruntime':>14}{'apart':>12}")
    for name in tqdm(names, leave=False, disable=None):
        if name not in known:
            known[name] = measure(name)
            if arguments.keep:
                with arguments.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(known[name]) | {"code": code()}) + "\n")
        found.append(known[name])
        tqdm.write(known[name].line())
    wrong = sum(not each.fits for each in found)
    print(f"{len(found) - wrong} of {len(found)} fit")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
