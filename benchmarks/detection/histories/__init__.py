"""Train small networks and label their histories, as material for `benchmarks.detection`.

    python -m benchmarks.detection.histories OUT.json.gz --count 100 --seed 1

Configurations are drawn from `design.DESIGN`, a table of families: networks of depth 0 to 3 on
scikit-learn's small tables and generators. Each is trained with 16 seeds at once. One
of the 16, at random, becomes the history; its label comes from all 16 (`labels.judge`):

* overfitting: the mean validation loss ends more than 2 % above its best, and more than
  3 standard errors; the mean training loss has not risen by more than 1 % since then; at
  least 3/4 of the seeds end more than 1 % above their value at that best.
* healthy: it ends at most 1.2 % above its best and fell by more than 1.5 %, and more
  than 3 standard errors, over the last 30 % of the epochs.
* plateau: at most 1.2 % above the best, less than 1 % change over the last 30 %.
* diverging: not finite, or both losses have blown up and stay up.

Anything else is ambiguous and is dropped, and so is what half of the seeds contradict or
what rose by less than 10 % and is falling again. About a fifth are cut earlier, near the
best of a run that overfits, and labelled anew.

The losses are what Keras reports: for training the mean over the epoch's mini-batches,
with dropout; for validation the end of the epoch. Both include the L2 penalty. JAX is
needed. On one machine the same seed gives the same file.
"""
