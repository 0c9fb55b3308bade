"""Starts `dixa-import` many times, each in a separate process, without importing its modules each time.

Reads one JSON object per line (arguments, environment, output file), forks, and prints the child's process
id. When the child has ended, it prints its exit code (a negative signal number, as in subprocess).
"""

import json
import os
import signal
import sys


def main() -> None:
    import importer.cli

    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order, importer.cli.main)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(order: dict, program) -> None:  # type: ignore[type-arg, no-untyped-def]
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        out = os.open(order["output"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(order["environment"])
        sys.argv = ["dixa-import", *order["arguments"]]
        program()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
