"""`python -m alpha_panda.testing.processes SERVICE --manifests … --resource …`: one service that can come to harm.

With `--nursery` and calendars that they need, if any: a process that forks such services when told to, see `nursery`.
"""

import sys

from .nursery import serve
from .service import main

if __name__ == "__main__":
    if sys.argv[1:2] == ["--nursery"]:
        serve(main, sys.argv[2:])
    else:
        sys.exit(main(sys.argv[1:]))
