"""The table of a network's costs: how it is kept, printed, shown and saved."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

BYTES = 4  # of one fp32 number

Sizes = tuple[int, ...]  # of one input, without the batch: (channels, height, width) of an image
Image = Sizes | tuple[Sizes, ...]  # of the only input, or of each


def each_input(image: Image) -> tuple[Sizes, ...]:
    """The sizes of each input, also where there is one."""
    several = tuple([each for each in image if isinstance(each, tuple)])
    return several or (tuple([size for size in image if isinstance(size, int)]),)


def shown(image: Image) -> str:
    """The sizes as a sentence has them, such as "3 x 224 x 224"."""
    return " and ".join(" x ".join(map(str, sizes)) for sizes in each_input(image))


def noun(image: Image) -> str:
    """What one sample is: an image, or an input of another kind."""
    inputs = each_input(image)
    return "image" if len(inputs) == 1 and len(inputs[0]) == 3 else "input"


def aligned(rows: list[tuple[str, ...]]) -> tuple[str, list[str]]:
    """A rule as wide as the table, and its lines: the first column begins on the left, numbers end on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *numbers in rows:
        cells = [n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    return "-" * (sum(widths) + 2 * (len(widths) - 1)), lines


def as_html(caption: str, columns: Iterable[str], body: str, foot: str, notes: Iterable[str]) -> str:
    """A table that stands alone: its own style, colours derived from the page's text colour."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    return (
        f'<div class="ledger"><style>{STYLE}</style><table><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table>"
        f"{''.join(f'<p>{html.escape(note)}</p>' for note in notes)}</div>"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of a ledger, for one image.

    *Detail.* The detail of a convolution or a pool is its kernel (height x width), then a slash and the stride along
    the height, then the groups. The stride is left out if it is the usual one: 1 for a convolution, the kernel for a
    pool. A different stride along the width is not shown, and neither are padding and dilation.

    *Activations.* For a layer, all elements of its outputs count; for an operation outside a layer, only those of its
    first output; for dropout in training, its output and not its mask. The count is 0 if all operations return views
    or write in place, as in Flatten, ReLU(inplace=True) and dropout in evaluation. Dropout(inplace=True) in training
    and RReLU(inplace=True) create intermediate tensors, and so are counted.

    *The whole image.* After some operations, such as global pooling or a GroupNorm, each position sees the whole
    image. From there on the receptive field no longer grows. Along that path the jump stays what the operation made
    it, the side of the grid before it times the jump there. Where the result is combined with a larger grid, as in
    the gates of EfficientNet, the jump is again that of the larger grid. A convolution that covers its whole input
    leaves
    the jump as it was.
    """

    layer: str  #: The path of the module in the network, such as ``"stages.0.1.residual.0.0"``.
    kind: str  #: The class of the module, or the name of an operation outside of such layers.
    #: The kernel, stride and groups, such as ``"3x3/2 depthwise"`` or ``"5x5, 2 groups"``; ``"(not run)"`` for
    #: unused parameters.
    detail: str
    output: tuple[int, ...]  #: The shape of the output, without the batch.
    #: The number of elements in its parameters, without those that it shares with an earlier row.
    parameters: int
    macs: int  #: The MACs for one image.
    activations: int  #: The number of elements in its outputs; 0 if it makes no new tensor.
    #: The side, in pixels, of the region that one output position sees, padding included; the larger one if height
    #: and width differ. It is None if no rule says what an operation sees.
    receptive_field: int | None
    #: The mean distance, in pixels of the image, between neighbouring output pixels, the larger of height and width;
    #: None if it is unknown, differs between the paths that meet, or is not a whole number.
    jump: int | None

    @property
    def activation_memory(self) -> int:
        """The bytes that `activations` take in fp32, numbers of four bytes."""
        return BYTES * self.activations


COLUMNS = ("layer", "output", "parameters", "MACs", "activation memory", "receptive field")


@dataclass(frozen=True)
class Ledger:
    """The costs of one network for one image: a table whose columns sum to its totals.

    It prints as text, shows as a table in a notebook, and is exported by `to_csv()` or `to_dict()`. Its totals are
    `parameters`, `macs`, `flops`, `activations` and `activation_memory`.
    """

    network: str  #: The name of the network's class.
    image: Image  #: The sizes of the image, (channels, height, width), or of what else the network takes.
    rows: tuple[Row, ...]  #: The rows, in the order of use.
    #: The number of convolutions and matrix products, linear layers among them, on the longest path.
    depth: int = field(default=0)
    notes: tuple[str, ...] = ()  #: What other counters count differently, and what is not counted.

    @property
    def parameters(self) -> int:
        """The number of elements in all parameters, of which a shared one counts once.

        Buffers, such as running statistics, do not count.
        """
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """The MACs of all convolutions and matrix products, for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def flops(self) -> int:
        """The floating-point operations, twice as many as the MACs."""
        return 2 * self.macs

    @property
    def activations(self) -> int:
        """The sum of the rows' `activations`."""
        return sum(row.activations for row in self.rows)

    @property
    def activation_memory(self) -> int:
        """The bytes of the rows' `activations`, in fp32.

        `casestudies.memory` measures what is held at any one time, or kept for training.
        """
        return sum(row.activation_memory for row in self.rows)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for row in self.rows:
            yield (
                " ".join(part for part in (row.layer, row.kind, row.detail) if part),
                " x ".join(map(str, row.output)),
                f"{row.parameters:,}",
                f"{row.macs:,}",
                f"{row.activation_memory:,}",
                "" if row.receptive_field is None else f"{row.receptive_field:,}",
            )

    def _totals(self) -> tuple[str, ...]:
        return ("total", "", f"{self.parameters:,}", f"{self.macs:,}", f"{self.activation_memory:,}", "")

    def _caption(self) -> tuple[str, str]:
        # In two parts: as text, one line of it would be wider than a terminal.
        inputs = f"one {noun(self.image)} of {shown(self.image)}"
        return f"{self.network}, {inputs}", "MACs of convolutions and linear layers; memory in bytes"

    def __str__(self) -> str:
        rule, (head, *rows, total) = aligned([COLUMNS, *self._cells(), self._totals()])
        return "\n".join([*self._caption(), head, rule, *rows, rule, total, *self.notes])

    def _repr_html_(self) -> str:
        totals = (None, None, self.parameters, self.macs, self.activation_memory, None)

        def bar(value: int, total: int | None) -> str:
            # The share of the column, as a bar behind the number.
            share = 100 * value / total if total else 0
            return f' style="--share:{share:.1f}%"'

        body = []
        for row, cells in zip(self.rows, self._cells(), strict=True):
            name = f"<span>{html.escape(row.layer)}</span> {html.escape(' '.join((row.kind, row.detail)))}"
            values = (row.parameters, row.macs, row.activation_memory)
            bars = ["", *(bar(v, t) for v, t in zip(values, totals[2:5], strict=True)), ""]
            numbers = "".join(f"<td{b}>{cell}</td>" for b, cell in zip(bars, cells[1:], strict=True))
            body.append(f'<tr><th scope="row">{name.strip()}</th>{numbers}</tr>')
        foot = "".join(f"<td>{cell}</td>" for cell in self._totals()[1:])
        foot = f'<tr><th scope="row">total</th>{foot}</tr>'
        return as_html("; ".join(self._caption()), COLUMNS, "".join(body), foot, self.notes)

    def to_csv(self) -> str:
        """Write the rows as comma-separated values, with a header and without totals.

        Numbers have no thousands separators, outputs look like 6x28x28, and a receptive field or jump of None is
        empty.

        Returns:
            The text of the CSV file.

        >>> from casestudies import ledger
        >>> network = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh())
        >>> print(ledger(network, (1, 32, 32)).to_csv(), end="")
        layer,kind,detail,output,parameters,macs,activation_memory,receptive_field,jump
        0,Conv2d,5x5,6x28x28,156,117600,18816,5,1
        1,Tanh,,6x28x28,0,0,18816,5,1
        """
        file = io.StringIO()
        names = ["layer", "kind", "detail", "output", "parameters", "macs", "activation_memory"]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "receptive_field", "jump"])
        for row in self.rows:
            values = [getattr(row, name) for name in names]
            values[3] = "x".join(map(str, row.output))
            writer.writerow([*values, row.receptive_field, row.jump])
        return file.getvalue()

    def to_dict(self) -> dict[str, object]:
        """Give the rows and totals as plain Python values, ready for JSON.

        Returns:
            A dictionary, as in the example. Each row has its `activations`; their total, the flops and the notes
            are left out.

        >>> from casestudies import ledger
        >>> found = ledger(nn.Conv2d(1, 6, 5), (1, 32, 32)).to_dict()
        >>> list(found)
        ['network', 'image', 'depth', 'parameters', 'macs', 'activation_memory', 'rows']
        >>> found["macs"], found["rows"][0]["output"], found["rows"][0]["activations"]
        (117600, [6, 28, 28], 4704)
        """
        return {
            "network": self.network,
            "image": [list(each) if isinstance(each, tuple) else each for each in self.image],
            "depth": self.depth,
            "parameters": self.parameters,
            "macs": self.macs,
            "activation_memory": self.activation_memory,
            "rows": [
                asdict(row) | {"output": list(row.output), "activation_memory": row.activation_memory}
                for row in self.rows
            ],
        }


STYLE = (
    ".ledger{overflow-x:auto}.ledger table{border-collapse:collapse;font-size:.9em;color:inherit;margin:0}"
    ".ledger caption{caption-side:top;text-align:left;opacity:.8;padding:.3em 0}"
    ".ledger th,.ledger td{padding:.15em .55em;text-align:right;white-space:nowrap;border:0;background:none;"
    "font-variant-numeric:tabular-nums;color:inherit}"
    ".ledger th:first-child{text-align:left;font-weight:normal}"
    ".ledger th span{font-family:monospace;opacity:.8}"
    ".ledger thead th,.ledger thead th:first-child{border-bottom:1px solid;font-weight:bold}"
    ".ledger thead th{white-space:normal;vertical-align:bottom}"
    ".ledger tfoot th:first-child,.ledger tfoot td{border-top:1px solid;font-weight:bold}"
    ".ledger tbody td[style]{background:linear-gradient(to left,rgb(120 150 200/.35) var(--share),"
    "transparent var(--share))}"
)
