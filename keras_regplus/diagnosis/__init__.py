"""Says whether a training overfits, from its curves alone.

NumPy only: usable on the numbers of any framework.
"""

from __future__ import annotations

from keras_regplus.diagnosis._diagnose import diagnose, diagnose_history
from keras_regplus.diagnosis.criteria import Criterion
from keras_regplus.diagnosis.prechelt import GL, PQ, UP
from keras_regplus.diagnosis.trend import TrendTracker
from keras_regplus.diagnosis.verdicts import VERDICTS, Diagnosis, Verdict
from keras_regplus.histories.history_like import HistoryLike
from keras_regplus.histories.read import read_history

__all__ = [
    "GL",
    "PQ",
    "UP",
    "VERDICTS",
    "Criterion",
    "Diagnosis",
    "HistoryLike",
    "TrendTracker",
    "Verdict",
    "diagnose",
    "diagnose_history",
    "read_history",
]
