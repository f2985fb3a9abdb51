"""What the command line can do, and its exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import keras_regplus
from keras_regplus._output import write
from keras_regplus.command import diagnose

__all__ = ["main"]

_PROGRAM = "python -m keras_regplus"
_LARGEST_SEED = 2**32 - 1
_EXAMPLES = f"""\
examples:
  {_PROGRAM} diagnose logs
  {_PROGRAM} diagnose log.csv --plot curves.png
  {_PROGRAM} demo
  {_PROGRAM} demo --output my_demo --epochs 20
  {_PROGRAM} demo --help
"""
_DEMO_EXAMPLE = f"""\
example:
  {_PROGRAM} demo --output my_demo

The backend is the one Keras uses; KERAS_BACKEND=jax (or tensorflow, torch)
in front of the command chooses another.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Use it to call the command from Python.

    Args:
        argv: The arguments after the program's name. Defaults to those of the
            process.

    Returns:
        0 after success; 1 if a run has a verdict that `diagnose --fail-on` names; 2 after
        an error, which one line on stderr explains; 130 after an interrupt.

    Example:
        >>> from keras_regplus.command import main
        >>> main(["--version"])  # doctest: +ELLIPSIS
        keras-regplus ...
        0
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        write(f"\n{_PROGRAM} {arguments.command}: interrupted.", sys.stderr)
        return 130


def _demo(arguments: argparse.Namespace) -> int:
    from keras_regplus.command.demo import DemoError, run

    try:
        run(arguments.output, epochs=arguments.epochs, seed=arguments.seed)
    except DemoError as error:
        write(f"{_PROGRAM} demo: {error}", sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Regularization that follows schedules, and a diagnosis of overfitting.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"keras-regplus {keras_regplus.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    diagnose.add_parser(commands)
    _add_demo(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction) -> None:
    demo = commands.add_parser(
        "demo",
        help="train eight small networks and see which of them overfit",
        description="Train eight networks on the breast-cancer data that scikit-learn ships, "
        "stop those that overfit, and show a table, a picture and TensorBoard logs.",
        epilog=_DEMO_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--output",
        metavar="DIR",
        default="regplus_demo",
        help="folder for the picture and the logs (default: %(default)s)",
    )
    demo.add_argument(
        "--epochs",
        metavar="N",
        type=_whole_number(minimum=1),
        help="at most so many epochs for each network (default: as many as it needs)",
    )
    demo.add_argument(
        "--seed",
        metavar="N",
        type=_whole_number(minimum=0, maximum=_LARGEST_SEED),
        default=1,
        help="seed of the split and of the networks (default: %(default)s)",
    )


def _whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    rule = f"a whole number of at least {minimum}"
    if maximum is not None:
        rule = f"a whole number from {minimum} to {maximum}"

    def parse(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if number < minimum or (maximum is not None and number > maximum):
            raise argparse.ArgumentTypeError(f"must be {rule}, got {text!r}")
        return number

    return parse
