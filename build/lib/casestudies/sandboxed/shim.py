"""What `import casestudies` finds inside the sandbox: `check`, and nothing that knows an answer.

Graded cells are judged by the grading process, which reads them itself. A call of `check` elsewhere in a
notebook is answered here by one sentence.
"""


class Report:
    """Stands in for a report: prints as one sentence."""

    def __init__(self, part: object) -> None:
        self.part = part

    def __repr__(self) -> str:
        return f"check({self.part!r}, ...): judged by the grader"


def check(part: object, answer: object = None, **_: object) -> Report:
    """Says that the grader judges; computes nothing."""
    return Report(part)


def __getattr__(name: str) -> object:
    raise AttributeError(f"casestudies.{name} is not available while a notebook is graded; only `check` is")


__all__ = ["check"]
