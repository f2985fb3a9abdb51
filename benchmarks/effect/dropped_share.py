"""The share that DropBlock really drops: ours, timm's, torchvision's and KerasCV's.

    KERAS_BACKEND=tensorflow python -m benchmarks.effect.dropped_share [--markdown]

Ones go in, and the script counts the zeros that come out, in 128,000 maps each: standard
errors are below 0.001. A package that is not installed has no number, and one that fails has
the name of its error. KerasCV's layer runs on TensorFlow alone. `expected` is computed from
the formula of the paper: the share that blocks of that probability cover, with overlaps.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from keras_regplus.layers import DropBlock2D

# Rate, size of the block, height and width of the map.
SETTINGS = [
    (0.1, 7, (14, 14)),
    (0.25, 7, (14, 14)),
    (0.5, 7, (14, 14)),
    (0.1, 7, (28, 28)),
    (0.1, 7, (7, 7)),
    (0.1, 7, (5, 5)),
    (0.1, 7, (28, 14)),
    (0.1, 7, (14, 28)),
    (0.1, 6, (14, 14)),
]
DRAWS, BATCH, CHANNELS = 20, 100, 64
PACKAGES = ("keras", "timm", "torch", "torchvision", "keras-cv")

Draw = Callable[[float, int, tuple[int, int]], np.ndarray]


def ours(exact: bool) -> Draw:
    def draw(rate: float, block: int, size: tuple[int, int]) -> np.ndarray:
        layer = DropBlock2D(rate, block, exact_rate=exact, data_format="channels_last")
        return ops.convert_to_numpy(layer(ops.ones((BATCH, *size, CHANNELS)), training=True))

    return draw


def timm(rate: float, block: int, size: tuple[int, int]) -> np.ndarray:
    import torch
    from timm.layers import drop_block_2d

    maps = torch.ones((BATCH, CHANNELS, *size))
    return drop_block_2d(maps, rate, block, couple_channels=False).numpy()


def torchvision(rate: float, block: int, size: tuple[int, int]) -> np.ndarray:
    import torch
    from torchvision.ops import drop_block2d

    return drop_block2d(torch.ones((BATCH, CHANNELS, *size)), rate, block).numpy()


def keras_cv(rate: float, block: int, size: tuple[int, int]) -> np.ndarray:
    import keras_cv

    layer = keras_cv.layers.DropBlock2D(rate, block)
    return ops.convert_to_numpy(layer(ops.ones((BATCH, *size, CHANNELS)), training=True))


COLUMNS: dict[str, Draw] = {
    "ours": ours(exact=False),
    "ours, exact_rate": ours(exact=True),
    "timm": timm,
    "torchvision": torchvision,
    "KerasCV": keras_cv,
}


def expected(rate: float, block: int, size: tuple[int, int]) -> float:
    """The mean share that the paper's formula leads to."""
    covering, places = np.ones(()), 1
    for cells in size:
        starts = max(cells - block + 1, 1)
        blocks = np.lib.stride_tricks.sliding_window_view(np.arange(cells), min(block, cells))
        covering = np.multiply.outer(covering, np.bincount(blocks.ravel(), minlength=cells))
        places *= starts * min(block, cells) / cells
    return float(1 - ((1 - rate / places) ** covering).mean())


def share(draw: Draw, setting: tuple[float, int, tuple[int, int]]) -> str:
    """The mean share of zeros, or why there is none."""
    try:
        shares = [(draw(*setting) == 0).mean() for _ in range(DRAWS)]
    except ImportError:
        return "not installed"
    except Exception as error:
        return type(error).__name__
    return f"{np.mean(shares):.3f}"


def versions() -> str:
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def rows() -> list[list[str]]:
    table = [["rate", "block", "map", "expected", *COLUMNS]]
    for rate, block, size in SETTINGS:
        setting = [f"{rate:g}", f"{block}", "x".join(map(str, size))]
        computed = f"{expected(rate, block, size):.3f}"
        measured = [share(draw, (rate, block, size)) for draw in COLUMNS.values()]
        table.append([*setting, computed, *measured])
    return table


def main(arguments: Sequence[str]) -> int:
    keras.utils.set_random_seed(0)
    table = rows()
    if "--markdown" in arguments:
        table.insert(1, ["---"] * len(table[0]))
        print("\n".join(f"| {' | '.join(row)} |" for row in table))
    else:
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    print(f"\n({versions()})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
