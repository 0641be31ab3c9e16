"""The machinery behind `check`: it compares what a student's block does with what the reference does.

`probe` runs beside the student's object and only answers with numbers; everything else (references, known
mistakes, comparisons, verdicts) stays with whoever asks. In a notebook both live in one process; when a class
is graded the probe lives in a sandbox and the questions travel as bytes (`wire`).
"""
