"""`python -m keras_regplus` is the command line."""

from __future__ import annotations

import sys

from keras_regplus.command import main

if __name__ == "__main__":
    sys.exit(main())
