"""How often verdicts and stops are right, on labelled histories and on noise."""
