"""What networks cost: closed forms of one layer (`formulas`), and folds over a graph (`ledger`, `memory`)."""

from casestudies.costs.formulas import (
    Pair,
    attention_macs,
    conv2d_macs,
    conv2d_parameters,
    conv_macs,
    conv_output_size,
    conv_parameters,
    linear_macs,
    linear_parameters,
    product_macs,
    receptive_field,
    transposed_conv_macs,
)
from casestudies.costs.ledger import ledger, op_macs, total_macs
from casestudies.costs.memory import Memory, memory
from casestudies.costs.table import BYTES, COLUMNS, Ledger, Row

__all__ = [
    "BYTES",
    "COLUMNS",
    "Ledger",
    "Memory",
    "Pair",
    "Row",
    "attention_macs",
    "conv2d_macs",
    "conv2d_parameters",
    "conv_macs",
    "conv_output_size",
    "conv_parameters",
    "ledger",
    "linear_macs",
    "linear_parameters",
    "memory",
    "op_macs",
    "product_macs",
    "receptive_field",
    "total_macs",
    "transposed_conv_macs",
]
