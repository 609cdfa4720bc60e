"""`kubectl alpha-panda`: kubectl finds it on the PATH under the name `kubectl-alpha_panda`."""

import sys


def main() -> int:
    """Run the plugin; Ctrl-C ends it with 0 while modules still load, as it does `alpha-panda`."""
    try:
        from alpha_panda.cli.plugin_app import main as run  # noqa: PLC0415 - loading is what takes the time

        return run()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
