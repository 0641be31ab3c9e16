"""nbgrader's configuration: source `solutions`, release `exercises`, submissions run in a sandbox.

Limits of a submission are set here, such as `c.ProtectedExecute.cell_seconds = 60`.

Submissions, gradebook and feedback lie in this folder, or in the one that CASESTUDIES_COURSE names.

`language="ko"` makes the course Korean: the notebooks that students get, and the reports on their pages. Whatever the
language, the code, the points and the gradebook are the same.
"""

import os
from pathlib import Path

from casestudies.grading.configuration import configure

c = get_config()  # noqa: F821  (given by nbgrader)
configure(c, root=Path(__file__).resolve().parent, course=os.environ.get("CASESTUDIES_COURSE"), language=None)
