"""Composition root of the risk process: `python -m alpha_panda.risk --manifests PATH --resource KIND/NAME`."""

import sys

from alpha_panda.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["service", "risk", *sys.argv[1:]]))
