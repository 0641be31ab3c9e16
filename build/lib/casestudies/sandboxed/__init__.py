"""What is copied beside a student's code, and nothing else: no reference, no check, no solution.

quoting     text of a student's in our sentences
frames      bytes and descriptors over a socket
messages    every request and every answer, and the checks that an answer has to pass
probe       builds, runs and watches a student's object
torch_state torch's global state: ours while a student's object is asked, theirs again afterwards
isolation   namespaces, system calls, limits
keeper      watches over one child
child       the student's process: cells in, outputs and answers out
server      loads torch once and forks a keeper for each submission
shim        what `import casestudies` finds there

Imports torch, the standard library and itself, and `child` IPython, in which cells run (a test holds it to that):
of this package nothing else is there inside the sandbox.
"""
