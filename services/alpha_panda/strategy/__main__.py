"""Composition root of the strategy process: `python -m alpha_panda.strategy --manifests PATH --resource KIND/NAME`."""

import sys

from alpha_panda.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["service", "strategy", *sys.argv[1:]]))
