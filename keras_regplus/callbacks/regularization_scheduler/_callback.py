"""The callback that makes schedules follow the training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import keras

from keras_regplus._checks import boolean, error_text
from keras_regplus._hints import explains
from keras_regplus._warnings import OneTimeWarnings, warn_once
from keras_regplus.callbacks._base import Callback
from keras_regplus.callbacks.regularization_scheduler._cut_short import cut_short, updates_in
from keras_regplus.callbacks.regularization_scheduler._strengths import check_strengths
from keras_regplus.callbacks.regularization_scheduler._verification import Verification, verify
from keras_regplus.clock import wiring
from keras_regplus.clock.loss_parts import LossParts
from keras_regplus.clock.model_parts import ignored_regularizers, scheduled_parts, weight_paths
from keras_regplus.clock.variables import number_of
from keras_regplus.schedules.serialization import describe
from keras_regplus.schedules.units import unit_of

_OWNER = "RegularizationScheduler"
_NO_SCHEDULES = "Schedules go to the regularizers and layers, as in `ScheduledL2(1e-3, schedule)`."
_KEYS = ("data_loss", "penalty", "strength", "rate")


class RegularizationScheduler(Callback):
    """Lets each scheduled penalty and layer of a model follow the training, and logs them.

    Use it in every `fit` of a model with scheduled penalties or layers: without it
    they stay at full strength. Its place in the list does not matter. It takes no
    schedules itself: those belong to the regularizers and layers. In a training
    loop of your own use `keras_regplus.at` instead.

    In a model without scheduled parts it is still useful for its logs: the loss
    without the penalty is the one to watch for overfitting. One list of callbacks can
    serve every model of a comparison, also a baseline without any penalty.

    | key | meaning |
    | --- | --- |
    | `data_loss`, `val_data_loss` | the loss without penalties, batch-weighted mean |
    | `penalty`, `val_penalty` | what `model.losses` adds, so `loss = data_loss + penalty` |
    | `strength/<path>` | base value x schedule x gain of a penalty or noise, as validation saw it |
    | `rate/<path>` | the share that a layer such as `ScheduledDropout` drops |
    | `penalty/<path>` | the penalty of one weight at the epoch's end (`per_layer=True`) |

    The logs say what the training steps did. The first two keys are there where both are
    measured and add up to what `compute_loss` returned, a strength or rate where the steps
    of the epoch computed it; you are warned once where one is not in the loss or does
    not follow its schedule. A key that was logged stays until the `fit` ends, as NaN where
    it can no longer be measured.

    Each distinct strength is logged once, under the first path that has it; equal paths
    are numbered. Other callbacks see the keys wherever they stand in the list. Give
    `mode="min"` to a Keras callback that monitors `val_data_loss`: its `"auto"` cannot know.

    Args:
        log: True for all keys, False for none, or a list of some of `"data_loss"`,
            `"penalty"`, `"strength"` and `"rate"`. Defaults to True.
        per_layer: Whether to log the penalty of each weight as well. Defaults to
            False.

    Raises:
        TypeError: If `log` is neither a boolean nor a list of names, or `per_layer`
            is no boolean.
        ValueError: If `log` names an unknown key; when `fit` begins, if the model
            has no optimizer, Keras runs in NNX mode, where steps cannot be followed, or
            the optimizers in a `MultiOptimizer` accumulate over different
            `gradient_accumulation_steps`.

    Example:
        >>> import keras, numpy as np
        >>> import keras_regplus as kr
        >>> l2 = kr.regularizers.ScheduledL2(0.1, kr.schedules.LinearWarmup(4))
        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_regularizer=l2)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(
        ...     np.ones((8, 2)), np.ones((8, 1)), batch_size=4, epochs=3, verbose=0,
        ...     callbacks=[kr.callbacks.RegularizationScheduler()],
        ... )
        >>> strength = next(v for k, v in history.history.items() if k.startswith("strength/"))
        >>> [round(value, 6) for value in strength]
        [0.05, 0.1, 0.1]
    """

    @explains(_OWNER, schedule=_NO_SCHEDULES, schedules=_NO_SCHEDULES)
    def __init__(
        self,
        log: bool | Iterable[Literal["data_loss", "penalty", "strength", "rate"]] = True,
        per_layer: bool = False,
    ):
        super().__init__()
        self.log = log
        self.per_layer = boolean(
            _OWNER, "per_layer", per_layer, advice="Use True to log each weight."
        )
        self._keys = _checked_keys(log)
        self._first_epoch = True
        self._step_before = 0
        self._logged: dict[str, list[str]] = {}
        self._warnings = OneTimeWarnings(_OWNER)
        self._length_unknown = self._warned_cut_short = False

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._clock = wiring.attach(model)
        self._loss_parts = self._attached_loss_parts(model)
        self._clock.on_epoch_logs(self._extend)

    def verify(
        self, model: keras.Model, x: Any, y: Any = None, sample_weight: Any = None
    ) -> Verification:
        """Check whether the compiled step of `model` follows each of its schedules.

        Use it once, before a long training or after a change to a regularizer or a
        training step of your own. It trains on one batch as `fit` does, at the start,
        middle and end of each schedule and at the current moment of the training, and
        compares what the steps compute with the closed form. Weights, optimizer and
        counters are restored. Call it outside of `fit` or between two epochs.

        Args:
            model: A compiled model.
            x: Inputs of one batch, of the size that the model will be trained on.
            y: Its targets. Defaults to None.
            sample_weight: Its weights. Defaults to None.

        Returns:
            A `Verification`: `exact` is True if every part is exact, and `parts` has a
            `PartCheck` for each penalty and layer that has a schedule and is trained, with
            the measured and expected values.

        Raises:
            TypeError: If `model` is not a model of Keras 3.
            ValueError: If the model has no optimizer, Keras runs in NNX mode, or the
                optimizers in a `MultiOptimizer` accumulate over different numbers of batches.

        Example:
            >>> import keras, numpy as np
            >>> import keras_regplus as kr
            >>> l2 = kr.regularizers.ScheduledL2(0.1, kr.schedules.LinearWarmup(1000))
            >>> dense = keras.layers.Dense(1, kernel_regularizer=l2, name="dense")
            >>> model = keras.Sequential([keras.Input((2,)), dense], name="net")
            >>> model.compile("sgd", "mse")
            >>> scheduler = kr.callbacks.RegularizationScheduler()
            >>> print(scheduler.verify(model, np.ones((4, 2)), np.ones((4, 1))))
            net/dense/kernel: exact
        """
        if not isinstance(model, keras.Model):
            advice = "Call it as `verify(model, x, y)`, with a batch."
            rule = "a compiled model of Keras 3"
            raise TypeError(error_text("verify", "model", rule, model, advice))
        return verify(model, x, y, sample_weight)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._first_epoch = True
        self._logged.clear()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        first, self._first_epoch = self._first_epoch, False
        self._clock.begin_epoch(epoch, first=first)
        self._step_before = self._clock.position().step
        self._length_unknown = first
        batches = (self.params or {}).get("steps")
        if first and batches and self.model.built:
            self._length_unknown = False
            left = self.params["epochs"] - epoch
            self._warn_if_cut_short(left, updates_in(left * batches, self.model))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._clock.end_epoch()
        if self._length_unknown and self.params:
            # Only now are the number of a generator's batches and an unbuilt model's layers known.
            self._length_unknown = False
            left = self.params["epochs"] - epoch - 1
            self._warn_if_cut_short(left, left * (self._clock.position().step - self._step_before))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._clock.begin_validation()

    def __getstate__(self) -> dict[str, Any]:
        # Clocks belong to a model in this process; `set_model` finds the right one again.
        return {
            k: v for k, v in self.__dict__.items() if k not in ("_clock", "_loss_parts", "_model")
        }

    def _attached_loss_parts(self, model: keras.Model) -> LossParts | None:
        if not {"data_loss", "penalty"} & self._keys:
            return None
        # If Keras moves a private name, that costs a key of the logs, not the training.
        try:
            if self._clock.loss_parts is None:
                self._clock.loss_parts = LossParts(model, self._clock)
            self._clock.loss_parts.observe(model)
        except Exception as error:
            self._warnings.warn(f"`data_loss` and `penalty` are left out of the logs ({error!r}).")
            return None
        return self._clock.loss_parts

    def _extend(self, logs: dict[str, Any], phase: str) -> None:
        # A user's own schedule or regularizer is called here, and must not end a training.
        try:
            keys = self._new_keys(phase)
        except Exception as error:
            self._warnings.warn(
                f"the logs lack its keys, because a part of the model raised {error!r}."
            )
            keys = {}
        # A history whose keys have different lengths is of no use to anyone.
        names = self._logged.setdefault(phase, list(keys))
        for name in names:
            if name in logs:
                self._warnings.warn(f"the logs have a key {name!r} already, which keeps its value.")
            else:
                logs[name] = keys.get(name, math.nan)

    def _new_keys(self, phase: str) -> dict[str, float]:
        keys = self._loss_keys(phase)
        if phase == "train":
            self._warn_if_ignored()
            self._warn_if_standing()
            keys |= self._strength_keys()
            if self.per_layer:
                keys |= self._penalties_by_path()
        return keys

    def _loss_keys(self, phase: str) -> dict[str, float]:
        if self._loss_parts is None:
            return {}
        means = {k: v for k, v in self._loss_parts.means(phase).items() if k in self._keys}
        wanted = [k for k in ("data_loss", "penalty") if k in self._keys]
        missing = [f"`{k}`" for k in wanted if k not in means]
        if phase == "train" and missing:
            self._warnings.warn(
                f"the logs get no {' and no '.join(missing)} of the model {self.model.name!r}: "
                f"{self._loss_parts.reason}.",
                cause="parts of the loss",
            )
        return means

    def _strength_keys(self) -> dict[str, float]:
        updates = self._clock.position().step - self._step_before
        unused = self._loss_parts is not None and self._loss_parts.penalties_are_unused
        check = check_strengths(self.model, self._clock, updates, unused)
        for kind, message in enumerate(check.warnings()):
            self._warnings.warn(message, cause=("strengths", kind))
        return {k: v for k, v in check.keys.items() if k.partition("/")[0] in self._keys}

    def _penalties_by_path(self) -> dict[str, float]:
        paths = weight_paths(self.model)
        return {
            f"penalty/{paths[id(weight)]}": number_of(weight.regularizer(weight))
            for weight in self.model.trainable_weights
            if weight.regularizer is not None
        }

    def _warn_if_ignored(self) -> None:
        ignored = ignored_regularizers(self.model)
        if ignored:
            self._warnings.warn(
                f"{', '.join(ignored)} has no effect: Keras gives a regularizer to the weights of "
                "a layer when it builds them, and this one came later. Pass it to the layer's "
                "constructor, or save the model and load it again."
            )

    def _warn_if_standing(self) -> None:
        counts_steps = any(
            part.schedule is not None and unit_of(part.schedule) == "step"
            for _, part in scheduled_parts(self.model)
        )
        if counts_steps and self._clock.position().step == self._step_before:
            self._warnings.warn(
                "`model.optimizer` made no update in a whole epoch, so schedules that count its "
                "updates stand still. Where a training step uses other optimizers, put "
                "`keras_regplus.at(step=...)` around its losses."
            )

    def _warn_if_cut_short(self, epochs_left: int, updates_left: int) -> None:
        if self._warned_cut_short:
            return
        step, epoch, _ = self._clock.position()
        # A schedule that fails here fails in a step too, with a better message.
        try:
            cut = cut_short(self.model, {"step": step + updates_left, "epoch": epoch + epochs_left})
            message = None if cut is None else cut.message()
        except Exception:
            return
        if cut is not None and message is not None:
            self._warned_cut_short = True
            # A search builds many models with one schedule.
            warn_once(f"{_OWNER}: {message}", cause=(_OWNER, describe(cut.schedule)))


def _checked_keys(log: Any) -> frozenset[str]:
    if isinstance(log, bool):
        return frozenset(_KEYS if log else ())
    rule = f"True, False or a list of names out of {', '.join(map(repr, _KEYS))}"
    if callable(log) or isinstance(log, str) or not hasattr(log, "__iter__"):
        raise TypeError(error_text(_OWNER, "log", rule, log, _NO_SCHEDULES))
    names = list(log)
    if not set(names) <= set(_KEYS):
        raise ValueError(error_text(_OWNER, "log", rule, log, "Check the names."))
    return frozenset(names)
