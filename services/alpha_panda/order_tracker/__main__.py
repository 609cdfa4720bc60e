"""Composition root of the order-tracker process: `python -m alpha_panda.order_tracker --manifests PATH --resource KIND/NAME`."""

import sys

from alpha_panda.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["service", "order-tracker", *sys.argv[1:]]))
