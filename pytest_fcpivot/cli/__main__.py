"""Run the command as `python -m pytest_fcpivot.cli`, if `fcpivot` is not on the path."""

import sys

from pytest_fcpivot.cli import main

if __name__ == "__main__":
    sys.exit(main())
