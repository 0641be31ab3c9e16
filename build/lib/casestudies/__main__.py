"""`python -m casestudies` is the same as `casestudies`."""

import sys

from casestudies.cli import main

if __name__ == "__main__":
    sys.exit(main())
