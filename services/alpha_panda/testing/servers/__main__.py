"""`python -m alpha_panda.testing.servers`: a Kafka and a Redis on loopback, until Ctrl-C or SIGTERM.

Prints what a shell needs to use them:

    export ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:40001
    export ALPHAPANDA_REDIS_URL=redis://127.0.0.1:40002

What they hold is gone with them.
"""

import signal
import sys
import threading
from contextlib import ExitStack

from alpha_panda.errors import AlphaPandaError

from .kafka import KafkaServer
from .redis import RedisServer


def main() -> int:
    """Start both, print where they are, wait for a signal, end both."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            kafka = stack.enter_context(KafkaServer())
            print(f"export ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}")  # noqa: T201 - for a shell
            print(f"export ALPHAPANDA_REDIS_URL={redis.url}", flush=True)  # noqa: T201 - as above
            print("# ready; Ctrl-C ends both", file=sys.stderr, flush=True)  # noqa: T201 - for a person
            while not ended.wait(1.0):  # a wait without end would not be woken by a signal everywhere
                pass
    except AlphaPandaError as error:
        print(f"failed: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
