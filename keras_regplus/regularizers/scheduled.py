"""Penalties whose strength follows a schedule, exactly, inside the compiled step."""

from __future__ import annotations

import json
from typing import Any

import keras
from keras import ops

from keras_regplus import schedules
from keras_regplus._checks import count, error_text, finite_number
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.schedules.serialization import (
    check_unit,
    checked_schedule,
    describe,
    equality_key,
)

_STRENGTH_ADVICE = "Use a small positive strength such as 1e-4."


class _ScheduledRegularizer(ScheduledMixin, keras.regularizers.Regularizer):
    """Equality, copies and saving; a subclass has `__call__` and `_arguments`."""

    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values, without the schedule."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        schedule = {"schedule": schedules.serialize(self.schedule)}
        return {**self._arguments(), **schedule, **self._position_config()}

    def _key(self) -> tuple[Any, ...]:
        # Not the config, which a function as a schedule does not have.
        arguments = json.dumps(self._arguments(), sort_keys=True)
        return type(self), arguments, equality_key(self.schedule)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ScheduledRegularizer) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        arguments = "".join(f"{name}={value!r}, " for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments}schedule={describe(self.schedule)})"

    def __getstate__(self) -> dict[str, Any]:
        # A copy is independent: it keeps the place where it was copied, not the clock.
        state = {k: v for k, v in self.__dict__.items() if k != "_clock_ref"}
        clock = self._live_clock()
        if clock is not None:
            state["_position"] = clock.position()
        return state


@keras.saving.register_keras_serializable(package="keras_regplus")
class Scheduled(_ScheduledRegularizer):
    """Any regularizer, with a strength that follows a schedule.

    Use it for penalties that have no scheduled class here, such as
    `keras.regularizers.OrthogonalRegularizer` or one of your own; prefer
    `ScheduledL2` and its sisters where they fit.

    `penalty(x, t) = regularizer(x) * schedule(t)`

    The callback `RegularizationScheduler` must be in the callbacks of `fit`.

    Args:
        regularizer: A `keras.regularizers.Regularizer`, its name or its config.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for the
            constant 1.

    Raises:
        TypeError: If `regularizer` is no regularizer (a plain function cannot be
            saved) or has a schedule of its own, or `schedule` is no schedule.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers, schedules
        >>> orthogonal = keras.regularizers.OrthogonalRegularizer(0.5)
        >>> scheduled = regularizers.Scheduled(orthogonal, schedules.LinearWarmup(4))
        >>> with at(step=1):
        ...     penalty = scheduled(keras.ops.ones((2, 2)))
        >>> round(float(penalty), 6)
        0.125
    """

    def __init__(self, regularizer: Any, schedule: Any = None):
        self.regularizer = _as_regularizer(regularizer)
        self.schedule = checked_schedule("Scheduled", schedule)

    def __call__(self, x: Any) -> Any:
        return _times(self._now(1.0), self.regularizer(x))

    def _arguments(self) -> dict[str, Any]:
        return {"regularizer": keras.saving.serialize_keras_object(self.regularizer)}

    def _strengths(self) -> dict[str, float]:
        return {"": 1.0}


class _ScheduledNorms(_ScheduledRegularizer):
    """`l1 * sum(|x|) + l2 * sum(x^2)`, times the factor."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, x: Any) -> Any:
        x = _wide(x)
        penalties = []
        if self.l1:
            penalties.append(_times(self._now(self.l1), _sum_of_absolutes(x)))
        if self.l2:
            penalties.append(_times(self._now(self.l2), ops.sum(ops.square(x))))
        return sum(penalties[1:], penalties[0]) if penalties else ops.zeros((), dtype=x.dtype)


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledL1(_ScheduledNorms):
    """An L1 penalty whose strength follows a schedule.

    Use it to push weights towards 0 once the network has found its way; prefer
    `ScheduledL2` where small weights will do.

    `penalty(x, t) = l1 * schedule(t) * sum(|x|)`

    The gradient at exactly 0 is 0 on every backend. The callback
    `RegularizationScheduler` must be in the callbacks of `fit`.

    Args:
        l1: The base strength, a finite number of at least 0. Defaults to 0.01.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for the
            constant 1. Defaults to None.

    Raises:
        TypeError: If `l1` is not a number, or `schedule` is no schedule.
        ValueError: If `l1` is negative, infinite or NaN.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers, schedules
        >>> l1 = regularizers.ScheduledL1(0.5, schedules.LinearWarmup(4))
        >>> with at(step=2):
        ...     penalty = l1(-keras.ops.ones((3,)))
        >>> float(penalty)
        0.75

    References:
        - Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996.
    """

    def __init__(self, l1: float = 0.01, schedule: Any = None):
        self.l1 = finite_number("ScheduledL1", "l1", l1, minimum=0, advice=_STRENGTH_ADVICE)
        self.schedule = checked_schedule("ScheduledL1", schedule)

    def _arguments(self) -> dict[str, Any]:
        return {"l1": self.l1}

    def _strengths(self) -> dict[str, float]:
        return {"": self.l1}


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledL2(_ScheduledNorms):
    """An L2 penalty whose strength follows a schedule.

    Use it where you would use `keras.regularizers.L2` and want it to come in, rise
    or fade during training.

    `penalty(x, t) = l2 * schedule(t) * sum(x^2)`

    The callback `RegularizationScheduler` must be in the callbacks of `fit`. Under
    Adam an L2 penalty is not weight decay; see the `weight_decay` argument of
    Keras's optimizers for that.

    Args:
        l2: The base strength, a finite number of at least 0. Defaults to 0.01.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for the
            constant 1. Defaults to None.

    Raises:
        TypeError: If `l2` is not a number, or `schedule` is no schedule.
        ValueError: If `l2` is negative, infinite or NaN.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers, schedules
        >>> l2 = regularizers.ScheduledL2(0.5, schedules.LinearWarmup(4))
        >>> with at(step=2):
        ...     penalty = l2(2 * keras.ops.ones((3,)))
        >>> float(penalty)
        3.0

    References:
        - Hoerl and Kennard, "Ridge Regression", 1970.
    """

    def __init__(self, l2: float = 0.01, schedule: Any = None):
        self.l2 = finite_number("ScheduledL2", "l2", l2, minimum=0, advice=_STRENGTH_ADVICE)
        self.schedule = checked_schedule("ScheduledL2", schedule)

    def _arguments(self) -> dict[str, Any]:
        return {"l2": self.l2}

    def _strengths(self) -> dict[str, float]:
        return {"": self.l2}


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledL1L2(_ScheduledNorms):
    """An L1 and an L2 penalty that follow one schedule.

    Use it for the elastic net; for two different schedules write a regularizer that
    adds a `ScheduledL1` and a `ScheduledL2`.

    `penalty(x, t) = schedule(t) * (l1 * sum(|x|) + l2 * sum(x^2))`

    The gradient of the L1 part at exactly 0 is 0 on every backend. The callback
    `RegularizationScheduler` must be in the callbacks of `fit`.

    Args:
        l1: The base strength of the L1 part, a finite number of at least 0.
            Defaults to 0.0.
        l2: The base strength of the L2 part, a finite number of at least 0.
            Defaults to 0.0.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for the
            constant 1. Defaults to None.

    Raises:
        TypeError: If a strength is not a number, or `schedule` is no schedule.
        ValueError: If a strength is negative, infinite or NaN.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers, schedules
        >>> both = regularizers.ScheduledL1L2(0.5, 0.25, schedules.LinearWarmup(4))
        >>> with at(step=2):
        ...     penalty = both(2 * keras.ops.ones((3,)))
        >>> float(penalty)
        3.0

    References:
        - Zou and Hastie, "Regularization and Variable Selection via the Elastic
          Net", 2005.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, schedule: Any = None):
        self.l1 = finite_number("ScheduledL1L2", "l1", l1, minimum=0, advice=_STRENGTH_ADVICE)
        self.l2 = finite_number("ScheduledL1L2", "l2", l2, minimum=0, advice=_STRENGTH_ADVICE)
        self.schedule = checked_schedule("ScheduledL1L2", schedule)

    def _arguments(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}

    def _strengths(self) -> dict[str, float]:
        return _named_strengths(self.l1, self.l2)


@keras.saving.register_keras_serializable(package="keras_regplus")
class WarmupL1L2(_ScheduledNorms):
    """An L1 and an L2 penalty that rise from 0 to full strength in a straight line.

    Use it when a penalty from the first step keeps the network from learning at
    all. It is `ScheduledL1L2` with `schedules.LinearWarmup`, in one name.

    `penalty(x, t) = min(t / warmup, 1) * (l1 * sum(|x|) + l2 * sum(x^2))`

    The gradient of the L1 part at exactly 0 is 0 on every backend. The callback
    `RegularizationScheduler` must be in the callbacks of `fit`.

    Args:
        l1: The full strength of the L1 part, a finite number of at least 0.
            Defaults to 0.0.
        l2: The full strength of the L2 part, a finite number of at least 0.
            Defaults to 0.0.
        warmup: Steps or epochs until full strength, a whole number of at least 1.
            Defaults to 1000.
        unit: What `warmup` counts: `"step"` (optimizer updates) or `"epoch"`.
            Defaults to `"step"`.

    Raises:
        TypeError: If a strength or `warmup` is not a number.
        ValueError: If a strength is negative, infinite or NaN, `warmup` is not a
            whole number of at least 1, or `unit` is unknown.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers
        >>> warm = regularizers.WarmupL1L2(l2=0.5, warmup=4)
        >>> with at(step=1):
        ...     penalty = warm(2 * keras.ops.ones((3,)))
        >>> float(penalty)
        1.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, warmup: int = 1000, unit: str = "step"):
        self.l1 = finite_number("WarmupL1L2", "l1", l1, minimum=0, advice=_STRENGTH_ADVICE)
        self.l2 = finite_number("WarmupL1L2", "l2", l2, minimum=0, advice=_STRENGTH_ADVICE)
        self.warmup = count(
            "WarmupL1L2",
            "warmup",
            warmup,
            advice="Use the number of steps (or epochs) until full strength, such as 1000.",
        )
        self.unit = check_unit("WarmupL1L2", unit)
        self.schedule = schedules.LinearWarmup(self.warmup, self.unit)

    def _arguments(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2, "warmup": self.warmup, "unit": self.unit}

    def get_config(self) -> dict[str, Any]:
        return {**self._arguments(), **self._position_config()}

    def _strengths(self) -> dict[str, float]:
        return _named_strengths(self.l1, self.l2)

    def __repr__(self) -> str:
        return f"WarmupL1L2({', '.join(f'{k}={v!r}' for k, v in self._arguments().items())})"


def get(identifier: Any) -> Any:
    """The regularizer that `identifier` means.

    Use it where your own layer takes a regularizer, so that the names of this
    package work beside those of Keras.

    Args:
        identifier: None, a regularizer, a config, or a name: `"scheduled_l2"`,
            `"ScheduledL2"` and the like give the class with its defaults; any other
            name goes to `keras.regularizers.get`.

    Returns:
        A regularizer, or None for None.

    Raises:
        ValueError: If nothing has that name, or the name gives a penalty of
            strength 0.

    Example:
        >>> from keras_regplus import regularizers
        >>> regularizers.get("scheduled_l2")
        ScheduledL2(l2=0.01, schedule=None)
    """
    if not isinstance(identifier, str):
        return keras.regularizers.get(identifier)
    found = _BY_NAME.get(identifier)
    regularizer = keras.regularizers.get(identifier) if found is None else found()
    strengths = [getattr(regularizer, name) for name in ("l1", "l2") if hasattr(regularizer, name)]
    if strengths and not any(float(strength) for strength in strengths):
        raise ValueError(
            f"get: `identifier` must name a penalty with a strength, got {identifier!r}, whose "
            "default strengths are 0. Pass an object such as `ScheduledL1L2(1e-4, 1e-4)`."
        )
    return regularizer


_BY_NAME = {
    name: cls
    for cls, snake in (
        (ScheduledL1, "scheduled_l1"),
        (ScheduledL2, "scheduled_l2"),
        (ScheduledL1L2, "scheduled_l1_l2"),
        (WarmupL1L2, "warmup_l1_l2"),
    )
    for name in (snake, cls.__name__)
}


def _as_regularizer(identifier: Any) -> keras.regularizers.Regularizer:
    regularizer = None
    if identifier is not None and not (callable(identifier) and isinstance(identifier, type)):
        regularizer = get(identifier) if isinstance(identifier, (str, dict)) else identifier
    if isinstance(regularizer, ScheduledMixin):
        rule = "one without a schedule of its own"
        advice = "Give the two schedules to one of them, as `schedules.Product([...])`."
        raise TypeError(error_text("Scheduled", "regularizer", rule, identifier, advice))
    if not isinstance(regularizer, keras.regularizers.Regularizer):
        raise TypeError(
            error_text(
                "Scheduled",
                "regularizer",
                "a `keras.regularizers.Regularizer`, its name or its config",
                identifier,
                "A plain function cannot be saved: make it the `__call__` of a registered class.",
            )
        )
    return regularizer


def _named_strengths(l1: float, l2: float) -> dict[str, float]:
    return {f"/{name}": value for name, value in (("l1", l1), ("l2", l2)) if value}


def _wide(x: Any) -> Any:
    """`x` in a dtype whose sums do not overflow; float16 does at 300 x 300 ones."""
    x = x if hasattr(x, "dtype") else ops.convert_to_tensor(x)
    return ops.cast(x, "float32") if "float16" in str(x.dtype) else x


def _times(strength: Any, norm: Any) -> Any:
    # TensorFlow multiplies only what is of one dtype; a Python number fits any.
    if hasattr(strength, "dtype") and strength.dtype != getattr(norm, "dtype", strength.dtype):
        strength = ops.cast(strength, norm.dtype)
    return strength * norm


def _sum_of_absolutes(x: Any) -> Any:
    x = ops.convert_to_tensor(x)
    # The gradient of `abs` at 0 is 1 on JAX, which would keep zeros from staying zero.
    return ops.sum(ops.abs(ops.where(ops.equal(x, 0), ops.zeros_like(x), x)))
