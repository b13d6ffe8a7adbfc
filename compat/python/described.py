"""schemathesis: whether the server does what its OpenAPI description says, for requests that fit it and for those that do not.

Started by compat/run. The seed is fixed: what fails fails again.
"""

import os
import re
import subprocess
import sys
import tempfile

URL = f"http://127.0.0.1:{os.environ['COMPAT_HTTP_PORT']}"
HERE = os.path.dirname(os.path.abspath(__file__))
# Streams without an end.
EXCLUDED = "/watch$"
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "5")
PHASES = os.environ.get("SCHEMATHESIS_PHASES", "coverage,fuzzing")


def main():
    """Runs it and counts operations: one that has a violation has failed."""
    command = [
        os.path.join(os.path.dirname(sys.executable), "schemathesis"),
        "--config-file", os.path.join(HERE, "schemathesis.toml"),
        "run", f"{URL}/v1/openapi.json",
        "--exclude-path-regex", EXCLUDED,
        "--phases", PHASES, "--max-examples", EXAMPLES, "--generation-deterministic", "--workers", "1",
        "--request-timeout", "10", "--no-color", "--warnings", "off",
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "described_hooks", "PYTHONPATH": HERE}
    # What it remembers of a run must not steer the next.
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(command, cwd=scratch, env=os.environ | hooks, capture_output=True, text=True, check=False)
    report = done.stdout + done.stderr
    tested = re.search(r"Operations:\s+(\d+) selected", report)
    violations = sorted(set(re.findall(r"^_{3,} ((?:GET|PUT|POST|DELETE|[A-Z]+) \S+) _{3,}$", report, re.M)))
    passed = max(int(tested[1]) - len(violations), 0) if tested else 0
    for operation in violations:
        print(f"FAIL  {operation}")
    failed = len(violations) or (0 if done.returncode == 0 and tested else 1)
    if failed:
        print(report[-6000:])
    print(f"ok    {passed} operations do what the description says")
    print(f"schemathesis: {passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
