"""`python -m alpha_panda.testing.simulation SEED`: one run again, exactly."""

import argparse
import sys
import time

from alpha_panda.testing.simulation.profiles import PROFILES
from alpha_panda.testing.simulation.run import silence_logs, simulate


def main(arguments: list[str]) -> int:
    """Run one seed, or several from it on, and print what came of it; 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m alpha_panda.testing.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--profile", default="mixed", choices=sorted(PROFILES))
    parser.add_argument("--count", type=int, default=1, help="run so many seeds, from SEED on")
    parser.add_argument("--trace", action="store_true", help="print what happened, line by line")
    parser.add_argument("--log", action="store_true", help="let the services log")
    options = parser.parse_args(arguments)
    if not options.log:
        silence_logs()
    failed, begun = 0, time.perf_counter()
    for seed in range(options.seed, options.seed + options.count):
        report = simulate(seed, PROFILES[options.profile])
        if options.trace:
            for at, process, operation, fate in report.trace:
                print(f"{at / 1e9:10.6f} {process:22} {operation:32} {fate}")  # noqa: T201 - a command's output
        failed += bool(report.violations)
        if report.violations or options.count == 1:
            print(report.line)  # noqa: T201 - as above
            for text in report.violations:
                print(f"  {text}")  # noqa: T201 - as above
        if options.count == 1:
            print(f"  trace {report.trace_hash}, {report.steps} steps, {report.virtual_seconds:.1f} s")  # noqa: T201 - as above
            print(f"  {dict(report.counts)}")  # noqa: T201 - as above
    took = time.perf_counter() - begun
    if options.count > 1:
        print(f"{options.count} seeds, {failed} failed, {took / options.count * 1000:.1f} ms each")  # noqa: T201 - as above
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
