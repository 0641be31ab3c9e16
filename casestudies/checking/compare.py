"""Numbers and values compared, and the words for what differs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from math import isfinite, isnan
from typing import Any

import torch
from torch import Tensor

from casestudies.checking.space import times
from casestudies.language import message
from casestudies.sandboxed.messages import Failed, Value
from casestudies.sandboxed.quoting import named

# What `failure_text` says, as it is found again when it is shown.
RAISED = (
    message("While {doing}, your code raised {error}."),
    message("While {doing}, your code raised {error}. Line {line} of your code: {source}"),
)
DIGITS = 6  # of a number that is shown
MOST_SHOWN, MOST_LISTED = 60, 8  # characters of a text, items of a list
REAL = 1e-5  # what powers and products of float32 may be off, as a share: numbers do not tell what they came from
SINGLE = 3e-4  # what tensors of float32 may be off, as a share of the largest number, unless more is known
ROUNDINGS, LEAST_ROUNDING = 64, 1e-5  # of what float32 does to the right answer, what it may do to another
UNNAMED = "?"  # ends a word of a view for what is seen to be wrong, but has no name; people do not see it
GAP = message("the largest difference is {gap} where values reach {magnitude}")


def unwritten(failed: Failed | None) -> bool:
    """Whether the part is still as it was handed out. A module without forward raises the same type on being run."""
    if failed is None or failed.type != "NotImplementedError":
        return False
    return 'missing the required "forward"' not in failed.message


# What a block was doing that raised nothing, but cannot be given weights.
MADE_LATE = "making layers in forward"


def failure_text(failed: Failed) -> str:
    """What the student's code raised, in one sentence, with the line of their code."""
    where = f" Line {failed.line} of your code: {failed.source}" if failed.line else ""
    if unwritten(failed):
        return f"This part is not written yet: it raises NotImplementedError.{where}"
    if failed.doing == MADE_LATE:
        return (
            f"The parameter {named(failed.message)} is made in forward: a block that was just built does not have "
            "it, so that no optimizer would train it and the check cannot give it values. Make all layers in "
            "__init__."
        )
    # In quotation marks, so that nobody takes a student's sentence for one of ours: see `language.STUDENTS`.
    message = " ".join(failed.message.split()).translate({ord("“"): '"', ord("”"): '"'})
    message = f": “{message}”" if message else ""
    return f"While {failed.doing}, your code raised {named(failed.type)}{message}.{where}"


OVERWRITES = (
    "An in-place operation overwrites a tensor that the gradients need: keep its result in a new tensor."
)


def overwrites(failed: Failed) -> bool:
    """Whether gradients could not be computed since something was written over, as torch says."""
    return failed.doing == "computing gradients (backward)" and "inplace" in failed.message


def failure_told(failed: Failed) -> str:
    """What the student's code raised, and what that means where torch says it in words of its own."""
    text = failure_text(failed)
    return f"{text} {OVERWRITES}" if overwrites(failed) and not failed.line else text


def distance(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """The largest difference, and the largest finite magnitude that is expected. NaN counts as infinitely far, where
    it is not expected."""
    if expected.numel() == 0:
        return 0.0, 0.0
    if found.is_complex():
        return float("inf"), float(expected.abs().max())
    found, expected = found.to(torch.float64), expected.to(torch.float64)
    gap, magnitude = float((found - expected).abs_().max()), float(expected.abs().max())
    if isfinite(gap) and isfinite(magnitude):
        return gap, magnitude
    # Infinities, and NaN, must stand where they are asked for; the rest is compared as ever.
    usual = expected.isfinite()
    same = (found == expected) | (found.isnan() & expected.isnan())
    rest = (found - expected)[usual].abs()
    gap = float(rest.max()) if rest.numel() else 0.0
    magnitude = float(expected[usual].abs().max()) if rest.numel() else 0.0
    return float("inf") if isnan(gap) or not bool(same[~usual].all()) else gap, magnitude


def identical(found: Tensor, expected: Tensor) -> bool:
    """Whether all numbers are the same, and real: mostly so in what is right, and told in a tenth of the time that it
    takes to find the largest difference."""
    return found.dtype == expected.dtype and not found.is_complex() and torch.equal(found, expected)


def close(found: Tensor | None, expected: Tensor | None, tolerance: float, scale: float = 0.0) -> bool:
    """Equal up to `tolerance` times the largest magnitude. A missing gradient is a gradient of zero."""
    if found is None and expected is None:
        return True
    if found is None and expected is not None:
        found = torch.zeros_like(expected)
    if expected is None and found is not None:
        expected = torch.zeros_like(found)
    assert found is not None and expected is not None
    if found.shape != expected.shape or found.is_complex() != expected.is_complex():
        return False
    if identical(found, expected):
        return True
    gap, magnitude = distance(found, expected)
    return gap <= tolerance * max(magnitude, scale, 1e-12)


def tolerance_of(value: Tensor | None, base: float = 1e-7, single: float = SINGLE) -> float:
    """float32 carries 24 bits: what is computed in it is compared more loosely. Whole numbers are not rounded."""
    if value is not None and not value.is_floating_point() and not value.is_complex():
        return 0.0
    return base if value is None or value.dtype == torch.float64 else max(base, single)


def in_single(value: Any) -> bool:
    """Whether an encoded value, or a plain tree, has a tensor that carries less than float64 does."""
    if isinstance(value, Value):
        return in_single(value.value)
    if isinstance(value, dict):
        return any(map(in_single, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(in_single, value))
    return isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64


def farthest(found: Any, right: Any) -> float:
    """The largest difference between the tensors of two encoded values or plain trees, each as a share of the largest
    number of the right one; infinite where they are not of one form."""
    if isinstance(found, Value) and isinstance(right, Value):
        return farthest(found.value, right.value)
    if isinstance(found, dict) and isinstance(right, dict) and found.keys() == right.keys():
        found, right = [found[key] for key in right], list(right.values())
    if isinstance(found, (list, tuple)) and isinstance(right, (list, tuple)):
        if len(found) != len(right):
            return float("inf")
        return max(map(farthest, found, right), default=0.0)
    if isinstance(found, dict) or isinstance(right, dict):
        return float("inf")
    if not (isinstance(found, Tensor) and isinstance(right, Tensor)):
        return 0.0
    if found.shape != right.shape:
        return float("inf")
    gap, magnitude = distance(found, right)
    return gap / max(magnitude, 1e-12)


def ended(sentence: str) -> str:
    """With its full stop, so that another sentence may follow.

    >>> ended("f(x): share of zeros: is 1; expected 2"), ended("f(x) gives 3; expected 4.")
    ('f(x): share of zeros: is 1; expected 2.', 'f(x) gives 3; expected 4.')
    """
    return sentence if sentence.endswith((".", "!", "?", ":")) else f"{sentence}."


def gap_text(found: Tensor, expected: Tensor) -> str:
    if torch.isnan(found).any():
        return f"{int(torch.isnan(found).sum())} of {found.numel()} values are NaN"
    gap, magnitude = distance(found, expected)
    return GAP.format(gap=f"{gap:.3g}", magnitude=f"{magnitude:.3g}")


def difference_of(found: Any, right: Any, tolerance: float, single: float = SINGLE) -> str:
    """In what two encoded values, or plain trees of numbers and tensors, differ; empty if in nothing.

    `single`: what tensors of less than float64 may be off; `tolerance` where that is more.
    """
    if isinstance(right, Value):
        if not isinstance(found, Value):
            return f"is {_shown(found)}; expected {_plain(right)}"
        return _encoded_difference(found, right, tolerance, single)
    if isinstance(right, dict):
        if not isinstance(found, dict):
            return f"is {_shown(found)}; expected a dict"
        for key, value in right.items():
            if value is True and found.get(key) is False:
                return f"it is not so that {key}"
            problem = difference_of(found.get(key), value, tolerance, single)
            if problem:
                return f"{key}: {problem}"
        return ""
    if isinstance(right, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(right):
            return f"is {found!r}; expected {right!r}"
        problems = (difference_of(a, b, tolerance, single) for a, b in zip(found, right, strict=True))
        return next((p for p in problems if p), "")
    if isinstance(right, Tensor):
        if not isinstance(found, Tensor):
            return "is not a tensor"
        if found.shape != right.shape:
            return f"has shape {times(found.shape)}; expected {times(right.shape)}"
        return "" if close(found, right, tolerance_of(found, tolerance, single)) else gap_text(found, right)
    if isinstance(right, float) and isinstance(found, (int, float)):
        if found == right or (isnan(found) and isnan(right)):
            return ""
        if isfinite(found - right) and abs(found - right) <= tolerance * max(1.0, abs(right)):
            return ""
        one, other = _apart(lambda digits: (_number(found, digits), _number(right, digits)))
        return f"is {one}, not {other}"
    return "" if _same(found, right) else f"is {_shown(found)}; expected {right!r}"


def _same(found: Any, right: Any) -> bool:
    """Whether two are equal, of which one is no tensor and the other may be anything."""
    try:
        return not isinstance(found, Tensor) and bool(found == right)
    except Exception:  # several answers, as of an array
        return False


def _shown(found: Any) -> str:
    if isinstance(found, Value):
        return _plain(found)
    if isinstance(found, str):
        return repr(found.rstrip(UNNAMED))
    return _tensor(found) if isinstance(found, Tensor) else repr(found)


def _tensor(shown: Tensor) -> str:
    """
    >>> _tensor(torch.ones(2, 3)), _tensor(torch.ones(2)), _tensor(torch.tensor(1))
    ('a tensor of shape 2×3', 'a tensor of length 2', 'a tensor of a single number')
    """
    if shown.dim() > 1:
        return f"a tensor of shape {times(shown.shape)}"
    return f"a tensor of length {len(shown)}" if shown.dim() else "a tensor of a single number"


def _encoded_difference(found: Value, right: Value, tolerance: float, single: float) -> str:
    kind, wanted = found.kind, right.kind
    sequences = ("list", "tuple")
    if wanted == "float" and kind in ("int", "float"):
        if found.value == right.value or (isnan(found.value) and isnan(right.value)):
            return ""
        gap = abs(float(found.value) - right.value)
        if isfinite(gap) and gap <= max(tolerance, REAL) * max(abs(right.value), 1e-12):
            return ""
        return _given(found, right)
    if kind != wanted and not (kind in sequences and wanted in sequences):
        given = "None (is a return missing?)" if kind == "none" else _plain(found)
        if kind not in ("none", "other", "tensor"):  # of these the type is said already
            given += f" (type {named(found.type)})"
        return f"gives {given}; expected {_plain(right)} (type {right.type})."
    if wanted == "tensor":
        value, expected = found.value, right.value
        if value.shape != expected.shape:
            return f"gives {_tensor(value)}; expected {_tensor(expected)}."
        if value.is_floating_point() != expected.is_floating_point():
            return f"gives a tensor of dtype {str(value.dtype)[6:]}; expected {str(expected.dtype)[6:]}."
        if not close(value, expected, tolerance_of(value, tolerance, single)):
            return f"gives other values: {gap_text(value, expected)}."
        return ""
    if wanted in sequences:
        if len(found.value) != len(right.value):
            return _given(found, right)
        for place, (a, b) in enumerate(zip(found.value, right.value, strict=True)):
            if _encoded_difference(a, b, tolerance, single):
                return _given(found, right, place)
        return ""
    return "" if found.value == right.value else _given(found, right)


def _given(found: Value, right: Value, place: int | None = None) -> str:
    """What was given and what was expected; where both read alike, what differs in the item at `place`."""
    given, wanted = _both(found, right)
    if given != wanted:
        return f"gives {given}; expected {wanted}."
    if place is not None:
        one, other = found.value[place], right.value[place]
        if one.kind == other.kind == "tensor" and one.value.shape == other.value.shape:
            return (
                f"gives {given}; the values of its item {place} differ: {gap_text(one.value, other.value)}."
            )
        mine, ours = _both(one, other)
        if mine != ours:
            return f"gives {given}; its item {place} is {mine}, not {ours}."
        return f"gives {given}; its item {place} differs."
    if found.kind == right.kind == "str":
        same = next(k for k, (a, b) in enumerate(zip_longest(found.value, right.value)) if a != b)
        return f"gives {given}; the expected string differs from character {same + 1} on."
    return f"gives {given}; expected {wanted}."


def _both(found: Value, right: Value) -> tuple[str, str]:
    """Both in words that tell them apart, if words can."""
    given, wanted = _apart(lambda digits: (_plain(found, digits), _plain(right, digits)))
    if given == wanted:  # the numbers are the same, but not of one kind
        given, wanted = (_with_kinds(each) for each in (found, right))
    return given, wanted


def _with_kinds(encoded: Value) -> str:
    """As Python writes it: real numbers with a point."""
    if encoded.kind in ("list", "tuple"):
        return _listed(encoded, [_with_kinds(item) for item in encoded.value[:MOST_LISTED]])
    return repr(encoded.value) if encoded.kind == "float" else _plain(encoded)


def _listed(encoded: Value, items: list[str]) -> str:
    inner = ", ".join(items) + (", ..." if len(encoded.value) > MOST_LISTED else "")
    if encoded.kind == "tuple":
        return f"({inner},)" if len(encoded.value) == 1 else f"({inner})"
    return f"[{inner}]"


def _apart(written: Callable[[int], tuple[str, str]]) -> tuple[str, str]:
    """Two values with as many digits as tell them apart, six or more; 17 tell any two numbers apart."""
    pairs = [written(digits) for digits in (DIGITS, 9, 12, 17)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _plain(encoded: Value, digits: int = DIGITS) -> str:
    kind, value = encoded.kind, encoded.value
    if kind == "tensor":
        return _tensor(value)
    if kind in ("list", "tuple"):
        return _listed(encoded, [_plain(item, digits) for item in value[:MOST_LISTED]])
    if kind == "float":
        return _number(value, digits)
    if kind == "other":
        return f"a value of type {named(encoded.type)}"
    if kind == "str":
        return repr(value if len(value) <= MOST_SHOWN else value[:MOST_SHOWN] + "...")
    if kind in ("int", "bool", "none"):
        return str(value)
    return "an array" if kind == "array" else f"a {kind}"
