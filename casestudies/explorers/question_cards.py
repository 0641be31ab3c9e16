"""The questions of a chapter, and what a reader has answered so far.

from casestudies.explorers import Questions, Progress
Questions("resnet")
Progress()  # all chapters: what this browser keeps, and a button that forgets it
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import traitlets

from casestudies import questions
from casestudies.explorers.base import Explorer, module, plural
from casestudies.language import filled, message

RIGHT = "right"
ANSWERS = message("Answers: {answers}.")


class Questions(Explorer):
    """Three to five questions; a wrong choice is what a known mistake computes, and says which mistake it is.

    `chosen` has the name of each answered question, and for it the id of the mistake or "right". In the static
    page it comes from the reader's own browser, and stays there.
    """

    title = "Questions"
    _esm = module("question_cards")

    view = traitlets.Unicode("questions").tag(sync=True)
    chapter = traitlets.Unicode().tag(sync=True)
    questions: traitlets.List[Any] = traitlets.List(help="each question with its choices").tag(sync=True)
    chosen = traitlets.Dict(help='question -> id of the mistake, or "right"').tag(sync=True)

    def __init__(self, chapter: str, **options: Any) -> None:
        asked = [
            asdict(one) | {"choices": [asdict(choice) for choice in one.choices]}
            for one in questions.questions(chapter)
        ]
        super().__init__(chapter=chapter, questions=asked, **options)

    @traitlets.validate("chosen")
    def _offered(self, proposal: Any) -> dict[str, str]:
        known = {
            one["name"]: [choice["mistake"] or RIGHT for choice in one["choices"]] for one in self.questions
        }
        for name, choice in proposal["value"].items():
            if known and name not in known:
                raise traitlets.TraitError(f"chosen names {name!r}; the questions are {', '.join(known)}")
            if known and choice not in known[name]:
                raise traitlets.TraitError(
                    f"chosen says {choice!r} for {name}; the choices are {', '.join(known[name])}"
                )
        return proposal["value"]

    def figures(self) -> tuple[int, int]:
        """How many questions are answered, and how many of them correctly."""
        return len(self.chosen), sum(choice == RIGHT for choice in self.chosen.values())

    def sentence(self) -> str:
        answered, right = self.figures()
        return f"{answered} of {plural(len(self.questions), 'question')} answered, {right} of them correctly."

    def pieces(self) -> list[str]:
        """The questions, their choices, and the answers at the end: for a page without JavaScript, and on paper."""
        said, answers = [f"{self.title}.", f" {self.sentence()}"], []
        for number, one in enumerate(self.questions, 1):
            said += [f" {number}. ", one["stem"]]
            for letter, choice in zip("abcdefgh", one["choices"], strict=False):
                said += [f"{' ' if letter == 'a' else ', '}({letter}) ", choice["text"]]
            said.append(".")
            right = [choice["mistake"] for choice in one["choices"]].index("")
            answers.append(f"{number} {'abcdefgh'[right]}")
        return [*said, " " + filled(ANSWERS, {"answers": ", ".join(answers)})]


class Progress(Explorer):
    """What this browser keeps of the answers, chapter by chapter, and a button that forgets it."""

    title = "Your answers"
    _esm = module("question_cards")

    view = traitlets.Unicode("progress").tag(sync=True)
    chapters = traitlets.Dict(help="chapter -> its questions -> what may be chosen").tag(sync=True)

    def __init__(self, **options: Any) -> None:
        asked = {
            name: {
                one.name: [choice.mistake or RIGHT for choice in one.choices]
                for one in questions.questions(name)
            }
            for name in questions.chapters()
        }
        super().__init__(chapters=asked, **options)

    def figures(self) -> dict[str, int]:
        """The number of questions of each chapter."""
        return {name: len(asked) for name, asked in self.chapters.items()}

    def sentence(self) -> str:
        count = sum(self.figures().values())
        return f"None of the {count} questions has been answered in this browser, or it keeps nothing."
