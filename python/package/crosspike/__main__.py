"""The command line: `crosspike`, or `python -m crosspike`."""

import sys

from . import _crosspike


def main():
    """Runs the command of this process's arguments; its exit code is the process's."""
    sys.exit(_crosspike.command(["crosspike", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
