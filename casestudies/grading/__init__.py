"""Grading: builds the assignments, runs submissions in a sandbox, and reaches the verdict outside of it.

notebooks   text sources -> nbgrader's source notebooks -> what students get
cells       the instructor's cells of one assignment, and what a graded cell asks for
intake      a submission as it arrives -> a notebook rebuilt around the instructor's cells
sandbox     a process without references, network or other submissions, that forks one child a submission
resident    the program that lives in that process (it imports nothing of this package)
executor    runs one notebook in a child and asks its questions
verdicts    what came out: one state a graded part
plugins     the same behind nbgrader's own commands
course      a whole class: parallel, resumable
"""
