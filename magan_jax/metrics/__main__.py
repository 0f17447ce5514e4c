"""`python -m magan_jax.metrics selftest`: whether the metrics are right on this machine."""

import argparse
import sys
import time

import jax

from magan_jax.metrics.selftest import checks


def main() -> None:
    """Print every check; exit status 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m magan_jax.metrics")
    parser.add_argument("command", choices=["selftest"], help="check the metrics on this machine")
    parser.parse_args()
    started = time.perf_counter()
    print(f"jax {jax.__version__}, {jax.default_backend()}: {jax.devices()[0].device_kind}")
    print(f"{'check':50} {'value':>14} {'expected':>14}  ok")
    failed = 0
    for check in checks():
        failed += not check.ok
        word = "ok" if check.ok else "WRONG"
        print(f"{check.name:50} {check.value:14.8f} {check.expected:14.8f}  {word}")
    print(f"{time.perf_counter() - started:.1f} s")
    if failed:
        sys.exit(f"error: {failed} check(s) failed on this machine; do not use these numbers.")


if __name__ == "__main__":
    main()
