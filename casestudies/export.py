"""Write a network down for other programs: ONNX (opens in Netron, runs anywhere), its graph as JSON, a drawing.

    casestudies export resnet18                     resnet18.onnx, resnet18.json, resnet18.svg
    casestudies export resnet18 --to out --pretrained

Each operation of the graph becomes the operations of ONNX that compute the same, for a batch of any size; one whose
settings have no counterpart is refused by name. Where `onnxruntime` is installed, the file is run beside the
network before anybody gets it. `onnx` writes the file: `pip install onnx onnxruntime`.

How closely do they agree? Torch and onnxruntime both round to float32, in other orders, and a deep network enlarges
what they round. So both are measured against the same network in float64: for every network of the zoo, with the
statistics of random images in its norms, the largest error of a logit in the file is below 1e-5 of the largest logit,
or at most four times the error that torch's own float32 has. `benchmarks/exports.py` measures that.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from casestudies.costs.fitting import check_image
from casestudies.graph import Graph, Op, Ref, expect_recordable, in_one_line, record, tensor_of, unwrapped
from casestudies.onnx_rules import KINDS, OPSET, RECORDED, SIZES, Writer
from casestudies.replay import carry_out

if TYPE_CHECKING:
    import onnx

BATCHES = (1, 2, 5)  # with which the file is compared with the network
TOLERANCE = 1e-3  # by which the two may differ, as a part of the largest number


def to_onnx(network: nn.Module, image: tuple[int, int, int]) -> onnx.ModelProto:
    """Export a network, in evaluation mode, to ONNX, a file format that other programs read.

    The model takes `images` (batch, channels, height, width) and returns `logits`; weights and images are float32,
    the opset is 17. If onnxruntime is installed, the model and the network are compared on random images, in batches
    of 1, 2 and 5, to about 1e-3 of the largest output.

    The batch size stays free, but decisions made in Python are frozen. Where the code branches on numbers
    (``if x.sum() > 0``), only the branch taken for two and three random images is exported.

    Args:
        network: Any module that takes one tensor of images and returns one tensor of float32. It runs in evaluation,
            and is put back into its own mode. What its forward() changes in every run, such as a counter, is changed.
        image: The sizes of one image without the batch, (channels, height, width).

    Returns:
        An `onnx.ModelProto`. ``Path("net.onnx").write_bytes(model.SerializeToString())`` saves it.

    Raises:
        ImportError: `onnx` is not installed.
        TypeError: `network` is not a module.
        ValueError: `image` is not three whole numbers of at least 1, or the network does not take such an image.
        ValueError: The weights are not float32: pass ``network.float()``.
        ValueError: The network is on the meta device, or has lazy layers that have not seen an input.
        ValueError: The network returns anything but one tensor of float32, such as a complex one, or returns
            something different when it is run again.
        ValueError: The network returns its images unchanged, unless a module with none inside it, such as
            `nn.Identity`, passed them on.
        ValueError: An operation has no rule in `casestudies.onnx_rules.RULES`, or has settings that the rule does
            not know.
        ValueError: The network behaves differently for three images than for two, for instance because it
            branches on their number.
        ValueError: The output of the model differs from that of the network.

    See Also:
        `casestudies.record` makes the graph that is translated.

    >>> network = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2))
    >>> model = to_onnx(network, (1, 32, 32))
    >>> [node.op_type for node in model.graph.node]
    ['Conv', 'Tanh', 'AveragePool', 'Identity']
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> (logits,) = session.run(["logits"], {"images": torch.zeros(3, 1, 32, 32).numpy()})
    >>> logits.shape
    (3, 6, 14, 14)
    """
    if not isinstance(network, nn.Module):
        hint = f"; build it first: casestudies.zoo.build({network!r})" if isinstance(network, str) else ""
        raise TypeError(
            f"network is {in_one_line(network)} ({type(network).__name__}); expected an nn.Module{hint}"
        )
    image = check_image(image)
    try:
        import onnx
    except ImportError:
        raise ImportError("onnx is not installed; install it with: pip install onnx onnxruntime") from None
    network = unwrapped(network)  # as `record` takes it
    expect_recordable(network)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise ValueError("network has no weights (it is a skeleton); build it with casestudies.zoo.build")
    # Real images make constants known. Two batches, of different sizes and numbers, tell what changes with the batch
    # from what does not: a number that the network reads out of its images (`item`) is no constant of the file.
    generator = torch.Generator().manual_seed(1)
    before = _held(network)
    graph, other = (_recorded(network, torch.randn(batch, *image, generator=generator)) for batch in RECORDED)
    _check_batches(graph, other)
    _check_again(network, before, torch.randn(max(RECORDED), *image, generator=generator))
    # Also what layers hold that the first run made.
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    writer = Writer(graph, other, state)
    model = writer.model()
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"network makes a file that onnx refuses: {_first_line(error)}") from None
    _compare(writer, model, network, image)
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _recorded(network: nn.Module, images: Tensor) -> Graph:
    try:
        graph = record(network, images)
    except Exception as error:
        shape = " x ".join(map(str, images.shape[1:]))
        found = _first_line(error)
        raise ValueError(f"network does not run on {len(images)} images of {shape}: {found}") from error
    if not isinstance(graph.output, Ref) or graph.values[graph.output.value].dtype != "float32":
        raise ValueError(
            "network returns something else than one tensor of float32; wrap it in a module that does"
        )
    if graph.output.value in graph.inputs:
        raise ValueError("network returns its images as they are; there is nothing to write down")
    return graph


def _check_batches(graph: Graph, other: Graph) -> None:
    """Whether a network computes the same for each batch; only the sizes that SIZES names may change with it."""
    if [op.overload for op in graph.ops] != [op.overload for op in other.ops]:
        raise ValueError(
            "network takes another way for 3 images than for 2, which has no counterpart in ONNX"
        )
    for one, two in zip(graph.ops, other.ops, strict=True):
        settings = {name: value for name, value in one.arguments if name not in SIZES.get(one.name, ())}
        for name, value in settings.items():
            if (two.setting(name),) != (value,):  # as tuples, in which NaN is equal to itself
                where = f"{one.name} at {graph.path(one) or 'the top'!r}"
                raise ValueError(
                    f"{where} has {name}={value} for 2 images, {two.setting(name)} for 3; a file has one"
                )
    if graph.constants != other.constants:
        raise ValueError(
            "network makes a constant that changes with the batch, which has no counterpart in ONNX"
        )


def _held(network: nn.Module) -> dict[str, tuple[Tensor, int]]:
    """Parameters and buffers by name, each with how often it was changed in place."""
    held = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: (tensor, 0 if tensor.is_inference() else tensor._version) for name, tensor in held.items()}


def _check_again(network: nn.Module, before: dict[str, tuple[Tensor, int]], images: Tensor) -> None:
    """Whether a network that changes what it holds, such as a counter, gives the same once more."""
    after = _held(network)
    changed = [
        name
        for name, (tensor, version) in before.items()
        if name in after and (after[name][0] is not tensor or after[name][1] != version)
    ]
    if changed and not torch.allclose(
        _outputs(network, images), _outputs(network, images), rtol=0, atol=0, equal_nan=True
    ):
        raise ValueError(
            f"network changes {changed[0]!r} in evaluation and answers otherwise the next time, which has no "
            "counterpart in ONNX; change it in training alone"
        )


def _compare(writer: Writer, model: onnx.ModelProto, network: nn.Module, image: tuple[int, int, int]) -> None:
    """Run the file and the network on the same random images, if onnxruntime is there.

    Deep networks can amplify rounding errors, or overflow, until their outputs tell nothing. Then each operation is
    compared on its own, on the numbers that the network gives it.
    """
    try:
        session = _session(model)
    except ImportError:
        return
    except Exception as error:
        raise ValueError(f"network makes a file that onnxruntime refuses: {_first_line(error)}") from None
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        images = torch.randn(batch, *image, generator=generator)
        try:
            ours = _outputs(network, images)
        except Exception as error:
            if batch > 1:
                raise ValueError(f"network does not run on {batch} images: {_first_line(error)}") from error
            continue  # such as one that says that it takes no single image
        try:
            (theirs,) = session.run(None, {"images": images.numpy()})
        except Exception as error:
            where = _culprit(writer, network, images)
            words = f"onnxruntime fails on {batch} images: {_first_line(error)}"
            raise ValueError(f"{words}; {where}" if where else words) from None
        agree = _agree(ours, torch.from_numpy(theirs))
        if agree and bool(ours.isfinite().all()):
            continue
        where = _culprit(writer, network, images)
        if not where and (agree or not _agree(ours, _outputs(network, images * (1 + 2**-20)))):
            continue  # the network itself answers otherwise to images that differ by a rounding error
        where = where or "no single operation differs"
        raise ValueError(f"the file computes something else than the network on {batch} images; {where}")


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says is raised, too
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _outputs(network: nn.Module, images: Tensor) -> Tensor:
    """What a network gives in evaluation; its own mode is left as it was, and so are the images."""
    modes = {each: each.training for each in network.modules()}
    try:
        with torch.no_grad():
            found: Tensor = network.eval()(images.clone())  # which it may change in place
    finally:
        for each, was_training in modes.items():
            each.training = was_training
    return found


def _agree(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    finite = ours[ours.isfinite()].abs()
    limit = TOLERANCE * float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(ours.detach(), theirs, rtol=TOLERANCE, atol=limit, equal_nan=True)


def _culprit(writer: Writer, network: nn.Module, images: Tensor) -> str:
    """The first operation that differs where the file's nodes get the same numbers as the network's; "" for none."""
    graph = record(network, images.clone())
    if [op.overload for op in graph.ops] != [op.overload for op in writer.graph.ops]:
        return "it takes another way there"
    tensors: dict[int, Tensor] = {graph.inputs[0]: images.clone()}
    for held in graph.state:
        if held.value is not None:
            tensor = writer.state[held.name].detach()
            tensors[held.value] = tensor.clone() if held.written else tensor
    for constant in graph.constants:
        numbers = tensor_of(graph, constant)
        if numbers is None:
            return f"a constant of {graph.values[constant.value].shape} is too large to be compared"
        tensors[constant.value] = numbers
    last = {value: place for place, op in enumerate(graph.ops) for value in op.reads}
    for place, op in enumerate(graph.ops):
        known = all(bool(tensors[value].isfinite().all()) for value in op.reads)
        try:
            # The file's nodes first: what the operation reads, it may also change.
            theirs = _on_its_own(writer, op, tensors) if op.outputs[0] in writer.own else None
            with torch.no_grad():
                results = carry_out(op, tensors)
        except Exception as error:
            return f"{writer.called(op)} fails: {_first_line(error)}"
        ours = results[0]
        if known and theirs is not None and not _agree(ours.float(), theirs.float()):
            return f"{writer.called(op)} differs first"
        tensors.update(zip(op.outputs, results, strict=True))
        for read in op.reads:
            if last[read] == place and read not in graph.inputs:
                tensors.pop(read, None)
    return ""


def _on_its_own(writer: Writer, op: Op, tensors: dict[int, Tensor]) -> Tensor:
    """What the nodes of one operation make of these numbers."""
    from onnx import helper

    nodes = writer.own[op.outputs[0]]
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input} - made
    fed = {writer.names[value]: tensors[value] for value in op.reads if writer.names.get(value) in read}
    if "images" in read:  # a shape is computed from how many they are
        fed["images"] = tensors[writer.graph.inputs[0]]
    result = writer.names[op.outputs[0]]
    inputs = [
        helper.make_tensor_value_info(name, KINDS[str(each.dtype).removeprefix("torch.")], each.shape)
        for name, each in fed.items()
    ]
    held = [each for each in writer.tensors if each.name in read - set(fed)]
    part = helper.make_graph(nodes, "part", inputs, [helper.make_empty_tensor_value_info(result)], held)
    opset = helper.make_opsetid("", OPSET)
    session = _session(helper.make_model(part, opset_imports=[opset], ir_version=8))
    (found,) = session.run(None, {name: each.contiguous().numpy() for name, each in fed.items()})
    return torch.from_numpy(found)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`casestudies export resnet18`."""
    parser = subparsers.add_parser(
        "export",
        description="The logits of the ONNX file differ from those of the network in float64 by at most 1e-5 of the "
        "largest one, or by four times as much as those of torch in float32; measured for every network here.",
    )
    parser.add_argument("name", help="name of a network, such as resnet18; see `casestudies networks`")
    parser.add_argument("--to", type=Path, default=Path(), help="folder to write to (default: this one)")
    parser.add_argument("--pretrained", action="store_true", help="with torchvision's published weights")
    parser.add_argument(
        "--formats", default="onnx,json,svg", help="some of onnx,json,svg, with commas (default: all of them)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files that were asked for and say where they are; one that cannot be written keeps back no other."""
    from casestudies.figures import overview
    from casestudies.zoo import build, skeleton, variant

    row = variant(arguments.name)
    formats = list(dict.fromkeys(word.strip() for word in arguments.formats.split(",")))
    for word in formats:
        if word not in ("onnx", "json", "svg"):
            raise ValueError(f"--formats has {word!r}; expected some of onnx, json, svg")
    if arguments.pretrained and "onnx" not in formats:
        raise ValueError(f"--pretrained goes with --formats onnx; {' and '.join(formats)} hold no weights")
    if arguments.to.exists() and not arguments.to.is_dir():
        raise ValueError(f"--to is {arguments.to}, which is a file; expected a folder")
    # Before anything is written: there may be no such weights.
    network = build(row.name, pretrained=arguments.pretrained) if "onnx" in formats else None
    arguments.to.mkdir(parents=True, exist_ok=True)
    missing: Exception | None = None
    for word in formats:
        path = arguments.to / f"{row.name}.{word}"
        if word == "json":
            graph = record(skeleton(row.name), torch.empty(1, *row.image, device="meta"))
            path.write_text(graph.to_json(), encoding="utf-8")
        elif word == "svg":
            path.write_text(overview(skeleton(row.name), row.image, row.name).to_file(), encoding="utf-8")
        elif network is not None:
            try:
                model = to_onnx(network, row.image)
            except (ImportError, ValueError) as error:
                missing = error
                continue
            path.write_bytes(model.SerializeToString())
        print(path)
    if missing is not None:
        raise ValueError(f"{row.name}.onnx is not written: {missing}")
    return 0
