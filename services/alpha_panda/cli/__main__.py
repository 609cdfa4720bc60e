"""`alpha-panda` and `python -m alpha_panda.cli`."""

import sys

from alpha_panda.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
