"""Comments that are used again, from one file `comments.csv` in the course's folder.

    id,assignment,cell,points,text
    what-not-why,resnet,why_identity,1,You say what the shortcut does; the question is why that is easier to learn.
    units,*,*,,A number without a unit says nothing.

The formgrader offers them above the comment of each written answer: choosing one puts its text below what stands
there, and its points into the score where there is none yet. Both can be changed afterwards; what students get is
the comment as it then is. A `*` or nothing stands for every assignment, or every answer.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from casestudies.grading.errors import CourseError
from casestudies.grading.tables import table_lines, table_text
from casestudies.sandboxed.quoting import printable, quoted

NAME = "comments.csv"
COLUMNS = ("id", "assignment", "cell", "points", "text")
ANY = ("", "*")
MOST_POINTS = 1000


class CommentError(CourseError):
    """The file has lines that say nothing certain; one sentence each."""


@dataclass(frozen=True)
class Comment:
    """One line of the file: where it is offered, what it says, and which points it suggests."""

    id: str
    text: str
    assignment: str = ""
    cell: str = ""
    points: float | None = None

    def is_for(self, assignment: str) -> bool:
        return self.assignment in (*ANY, assignment)


def read_comments(path: Path) -> list[Comment]:
    """The lines of the file; none where there is no file. Raises CommentError: a sentence for each bad line."""
    text = table_text(path, CommentError)
    return [] if text is None else parse_comments(text, path.name)


def parse_comments(text: str, name: str = NAME) -> list[Comment]:
    r"""What a file of this text says.

    >>> parse_comments("id,points,text\nunits,0.5,A number needs a unit.")
    [Comment(id='units', text='A number needs a unit.', assignment='', cell='', points=0.5)]
    """
    columns, lines = table_lines(text, name, COLUMNS, CommentError)
    if not {"id", "text"} <= set(columns):
        raise CommentError(
            f"{name}, line 1: the columns are {', '.join(map(quoted, columns))}; expected id and text, and perhaps "
            "assignment, cell and points; nothing was changed"
        )
    found: dict[str, Comment] = {}
    faults = []
    for line, values in lines:
        if isinstance(values, str):
            faults.append(values)
            continue
        points = _points(values.get("points", ""))
        where = f"{name}, line {line}, column"
        if not values["id"] or values["id"] in found:
            faults.append(f"{where} id: {quoted(values['id'])}; expected a name that no other line has")
        elif not values["text"]:
            faults.append(f"{where} text: ''; expected what the student is to read")
        elif points is not None and math.isnan(points):
            faults.append(
                f"{where} points: {quoted(values['points'])}; expected a number from 0 to {MOST_POINTS}, or nothing"
            )
        else:
            found[values["id"]] = Comment(
                values["id"], values["text"], values.get("assignment", ""), values.get("cell", ""), points
            )
    if faults:
        raise CommentError("\n".join([*faults, f"{name}: no comment of it is offered"]))
    return list(found.values())


def _points(text: str) -> float | None:
    """The number; None where there is none, nan where it is no number of points."""
    if not text:
        return None
    try:
        number = float(text.replace(",", ".")) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan
    return number if 0 <= number <= MOST_POINTS else math.nan


# nbgrader shows its button "Resolve" only where a score by hand is to be looked at again; extra credit and comments
# are, too. Where there is no automatic score either, points are due first.
RESOLVE = """
<style>
.scoring-buttons:has(+ span > .score.needs_manual_grade[placeholder]) .mark-graded { display: inline-block; }
</style>
"""

# In the formgrader's page, whose scripts are nbgrader's own: they save what changes in a comment and in a score.
_SCRIPT = """
window.addEventListener("load", () => {
  // It saves nothing before it has fetched what is there, which it would then write over what was inserted.
  const page = window.formgrader, ready = () => !page || Boolean(page.grades?.loaded && page.comments?.loaded);
  const choices = [];
  const offered = JSON.parse(document.getElementById("casestudies-comments").textContent);
  for (const area of document.querySelectorAll("textarea.comment")) {
    const cell = area.id.replace(/-comment$/, "");
    const mine = offered.filter((each) => ["", "*", cell].includes(each.cell));
    if (!mine.length) continue;
    const choice = document.createElement("select");
    choice.className = "form-control casestudies-comments";
    choice.setAttribute("aria-label", "Insert a comment");
    choice.disabled = true;
    choices.push(choice);
    choice.add(new Option("Insert a comment ...", ""));
    for (const each of mine) {
      const points = each.points === null ? "" : ` (${each.points})`;
      choice.add(new Option(`${each.id}${points}: ${each.text}`, each.id));
    }
    choice.addEventListener("change", () => {
      const each = mine.find((one) => one.id === choice.value);
      choice.value = "";
      if (!each) return;
      const before = area.value.trimEnd();
      area.value = before ? `${before}\\n\\n${each.text}` : each.text;
      area.dispatchEvent(new Event("change", { bubbles: true }));
      const score = document.getElementById(cell);
      if (each.points !== null && score && score.value === "") {
        score.value = each.points;
        score.dispatchEvent(new Event("change", { bubbles: true }));
      }
    });
    area.before(choice);
  }
  const open = () => (ready() ? choices.forEach((choice) => { choice.disabled = false; }) : setTimeout(open, 50));
  open();
});
"""


def offer(course: Path, assignment: str) -> str:
    """What the formgrader's page needs to offer the comments; empty where there are none.

    A file that cannot be read is a line at the top of the page, so that nobody looks for comments in vain.
    """
    import html

    try:
        comments = [each for each in read_comments(course / NAME) if each.is_for(assignment)]
    except CommentError as error:
        lines = "<br>".join(html.escape(printable(line)) for line in str(error).splitlines())
        return f'<div class="alert alert-danger" role="alert">{lines}</div>'
    if not comments:
        return ""
    data = json.dumps([asdict(each) for each in comments]).replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="casestudies-comments">{data}</script>\n'
        f"<script>{_SCRIPT}</script>"
    )
