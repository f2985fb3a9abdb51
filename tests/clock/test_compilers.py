"""torch's compiler is kept out of what observes a step."""

import keras
import numpy as np
import pytest

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock.loss_parts import LossParts
from keras_regplus.clock.observations import Observations
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import LinearWarmup

X = np.ones((4, 3), "float32")


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="only torch compiles frames")
def test_torch_compiles_nothing_of_the_observers_by_itself():
    # What it compiled it may have to compile anew, and looking for the reason it may raise.
    import torch
    from torch._dynamo.eval_frame import _debug_get_cache_entry_list

    l2 = ScheduledL2(0.1, LinearWarmup(2))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, kernel_regularizer=l2)])
    model.compile("sgd", "mse")
    model.train_step = torch.compile(model.train_step, backend="eager")
    history = model.fit(X, X, epochs=2, verbose=0, callbacks=[RegularizationScheduler()]).history
    assert "penalty" in history
    for observer in (LossParts._add_step, Observations.step_done):
        assert not _debug_get_cache_entry_list(observer.__code__)
