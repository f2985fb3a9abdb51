"""How much `import keras_regplus` adds to `import keras`: at most 50 ms.

    python -m benchmarks.cost.import_time [ROUNDS]

New processes, alternating, so that a busy moment hits all alike. The null is
`import keras` against itself: what differs there is the machine's noise.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

BUDGET_MS = 50
BODIES = {
    "import keras": "import keras",
    "import keras again": "import keras",
    "import keras_regplus": "import keras, keras_regplus",
}
TIMED = "import time; start = time.perf_counter(); {body}; print(time.perf_counter() - start)"
# The number that the budget is for, without the noise of `import keras` in it.
ADDED = """
import time, keras
start = time.perf_counter()
import keras_regplus
print(time.perf_counter() - start)
"""


def seconds(code: str) -> float:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(result.stdout.splitlines()[-1])


def measure(rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds by name, one number a round."""
    codes = {name: TIMED.format(body=body) for name, body in BODIES.items()}
    codes["keras_regplus after keras"] = ADDED
    # The first round fills the caches of files and bytecode.
    times = [[seconds(code) for code in codes.values()] for _ in range(rounds + 1)][1:]
    return dict(zip(codes, 1000 * np.array(times).T, strict=True))


def row(name: str, values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{name:32s}{middle:9.1f}{low:9.1f}{high:9.1f}"


def main(arguments: Sequence[str]) -> int:
    times = measure(rounds=int(arguments[0]) if arguments else 15)
    plain = times["import keras"]
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(plain)} rounds, ms\n")
    print(f"{'':32s}{'median':>9s}{'25 %':>9s}{'75 %':>9s}")
    for name, values in times.items():
        print(row(name, values))
    print(row("difference, paired", times["import keras_regplus"] - plain))
    print(row("null, paired", times["import keras again"] - plain))
    added = float(np.median(times["keras_regplus after keras"]))
    print(f"\nadded: {added:.1f} ms, budget {BUDGET_MS} ms")
    return int(added > BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
