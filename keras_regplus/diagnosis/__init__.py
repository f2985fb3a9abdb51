"""Says whether a training overfits, from its curves alone.

NumPy only: usable on the numbers of any framework.
"""

from __future__ import annotations

from keras_regplus.diagnosis.trend import Diagnosis, TrendTracker, diagnose

__all__ = ["Diagnosis", "TrendTracker", "diagnose"]
