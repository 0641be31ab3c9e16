"""Styles: layers of a student's in the order and form that is asked for, where both give the same values.

An activation behind a concatenation is one behind each of its parts; the mean over the grid may be taken before a 1x1
convolution or after it; a linear layer over a whole image is a convolution whose window is that image. None of these
is a difference, even where something else is one. What gives the same whatever the weights are is rewritten here, and
only into what is asked for.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from casestudies.checking.differences import until_layer
from casestudies.checking.layers import ACTIVATION_KINDS, CUTS, Layer

Layers = tuple[Layer, ...]
OF_NO_LAYER = -1  # the value of a layer that is nowhere in the student's recording
EACH_NUMBER = ACTIVATION_KINDS - {"softmax", "log-softmax", "PReLU"}
AGAIN = {"ReLU", "ReLU6"}  # twice is once


def as_asked(ours: Layers, theirs: Layers) -> Layers:
    """A student's layers in the form of the asked ones, as far as that is the same whatever the weights are."""
    return _over_the_image(ours, _mean_behind(ours, _activations_before(ours, theirs)))


def _readers(layers: Layers) -> Counter[int]:
    return Counter(each for layer in layers for each in layer.reads)


def _activations_before(ours: Layers, theirs: Layers) -> Layers:
    """Activations behind a concatenation before it, where that is where they are asked for."""
    if any(
        layer.kind in EACH_NUMBER and ours[layer.reads[0]].kind == "concatenation"
        for layer in ours
        if layer.reads
    ) or not any(layer.kind == "concatenation" for layer in ours):
        return theirs
    read = _readers(theirs)
    for place, layer in enumerate(theirs):
        if layer.kind not in EACH_NUMBER or theirs[layer.reads[0]].kind != "concatenation":
            continue
        joint = layer.reads[0]
        if read[joint] != 1 or layer.setting("gradient") or joint + 1 != place:
            continue
        parts: list[Layer] = []
        reads: list[int] = []
        for each in theirs[joint].reads:
            source = each
            while theirs[source].kind in {*CUTS, "choice of channels"}:
                source = theirs[source].reads[0]
            if theirs[source].label == layer.label and layer.kind in AGAIN:
                reads.append(each)
                continue
            parts.append(replace(layer, reads=(each,), value=OF_NO_LAYER, shape=theirs[each].shape))
            reads.append(joint + len(parts) - 1)
        whole = replace(theirs[joint], reads=tuple(reads), value=layer.value)
        return _put_in(theirs, joint, place, [*parts, whole])
    return theirs


def _put_in(layers: Layers, first: int, last: int, others: list[Layer]) -> Layers:
    """With other layers in the place of some, of which the last is what was read of those."""
    more = len(others) - (last - first + 1)
    later = tuple(
        replace(layer, reads=tuple(each + more if each >= last else each for each in layer.reads))
        for layer in layers[last + 1 :]
    )
    return (*layers[:first], *others, *later)


def in_groups(layers: Layers) -> Layers:
    """Layers with one convolution in groups in the place of several, each of some of the channels, whose results are
    joined in the same order."""
    found = list(layers)
    read = _readers(layers)
    for place, whole in enumerate(layers):
        if whole.kind != "concatenation" or whole.setting("dimension") != 1:
            continue
        parts = [found[each] for each in whole.reads]
        chosen = [found[part.reads[0]] for part in parts if part.kind == "convolution"]
        if len(chosen) < max(2, len(parts)) or len({part.label for part in parts}) > 1:
            continue
        source, width = chosen[0].reads, parts[0].setting("in")
        wanted = [(k * width, (k + 1) * width - 1, 1) for k in range(len(parts))]
        if any(each.kind != "choice of channels" or each.reads != source for each in chosen):
            continue
        alone = all(read[each] == 1 for each in whole.reads) and parts[0].setting("groups") == 1
        if [each.setting("taken") for each in chosen] != wanted or not alone:
            continue
        if found[source[0]].shape[1] != width * len(parts):
            continue
        more = {name: parts[0].setting(name) * len(parts) for name in ("in", "out")} | {"groups": len(parts)}
        settings = tuple((name, more.get(name, value)) for name, value in parts[0].settings)
        found[place] = replace(
            parts[0], settings=settings, reads=source, value=whole.value, shape=whole.shape
        )
    return tuple(found) if tuple(found) == layers else until_layer(tuple(found), len(found) - 1)


def _is_product(layer: Layer) -> bool:
    """Whether it multiplies each pixel by a matrix."""
    if layer.kind == "linear layer":
        return True
    get = layer.setting
    return (
        layer.kind == "convolution"
        and set(get("kernel")) == {1} == set(get("stride"))
        and not any(get("padding"))
        and get("groups") == 1
    )


def _mean_behind(ours: Layers, theirs: Layers) -> Layers:
    """The mean over the grid behind a product for each pixel, where that is where it is asked for."""
    mean = "global average pooling"
    wanted = {
        (ours[layer.reads[0]].setting("in"), ours[layer.reads[0]].setting("out"))
        for layer in ours
        if layer.kind == mean and _is_product(ours[layer.reads[0]])
    }
    read = _readers(theirs)
    for place, layer in enumerate(theirs):
        if not layer.reads or not _is_product(layer):
            continue
        pool = layer.reads[0]
        scales: list[Layer] = []
        if theirs[pool].kind == "scale" and read[pool] == 1:  # as well before the product as behind the mean
            scales, pool = [theirs[pool]], theirs[pool].reads[0]
        fits = theirs[pool].kind == mean and read[pool] == 1 and pool + len(scales) + 1 == place
        if not fits or (layer.setting("in"), layer.setting("out")) not in wanted or layer.setting("gradient"):
            continue
        like = next(
            each for each in ours if _is_product(each) and each.setting("out") == layer.setting("out")
        )
        settings = dict(like.settings) | {
            name: value
            for name, value in layer.settings
            if name in ("in", "out", "bias", "weights", "bias counts")
        }
        source = theirs[pool].reads
        scales = [replace(each, reads=source, value=OF_NO_LAYER) for each in scales]
        product = replace(
            layer, kind=like.kind, settings=tuple(settings.items()), reads=(pool,) if scales else source,
            value=OF_NO_LAYER, written=like.written,
        )  # fmt: skip
        behind = replace(theirs[pool], reads=(pool + len(scales),), value=layer.value, shape=layer.shape)
        return _put_in(theirs, pool, place, [*scales, product, behind])
    return theirs


def _over_the_image(ours: Layers, theirs: Layers) -> Layers:
    """Linear layers over whole images as the convolutions that are asked for."""
    asked = [
        layer
        for layer in ours
        if layer.kind == "convolution"
        and layer.setting("kernel") == ours[layer.reads[0]].shape[2:]
        and not any(layer.setting("padding"))
        and layer.setting("groups") == 1
    ]
    found = list(theirs)
    for place, layer in enumerate(theirs):
        if layer.kind != "linear layer" or layer.written:
            continue
        shape = theirs[layer.reads[0]].shape
        if len(shape) != 4 or math.prod(shape[1:]) != layer.setting("in"):
            continue
        like = next((each for each in asked if each.setting("kernel") == shape[2:]), None)
        if like is not None:
            own = {"in": shape[1], "out": layer.setting("out"), "bias": layer.setting("bias")}
            settings = tuple((name, own.get(name, value)) for name, value in like.settings)
            settings += tuple(
                each for each in layer.settings if each[0] in ("weights", "gradient", "bias counts")
            )
            found[place] = replace(layer, kind="convolution", settings=settings)
    return tuple(found)
