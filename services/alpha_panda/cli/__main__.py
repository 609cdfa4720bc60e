"""`alpha-panda` and `python -m alpha_panda.cli`."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C ends it with 0 from the first moment on, while modules still load as well."""
    try:
        from alpha_panda.cli.app import main as run  # noqa: PLC0415 - loading is what takes the time

        return run()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
