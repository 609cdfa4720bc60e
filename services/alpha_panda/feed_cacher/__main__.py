"""Composition root of the feed-cacher process: `python -m alpha_panda.feed_cacher --manifests PATH --resource KIND/NAME`."""

import sys

from alpha_panda.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["service", "feed-cacher", *sys.argv[1:]]))
