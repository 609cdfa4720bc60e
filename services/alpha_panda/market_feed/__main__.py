"""Composition root of the market-feed process: `python -m alpha_panda.market_feed --manifests PATH --resource KIND/NAME`."""

import sys

from alpha_panda.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["service", "market-feed", *sys.argv[1:]]))
