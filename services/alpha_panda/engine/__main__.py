"""Composition root of the engine process: `python -m alpha_panda.engine --manifests PATH --resource KIND/NAME`."""

import sys

from alpha_panda.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["service", "engine", *sys.argv[1:]]))
