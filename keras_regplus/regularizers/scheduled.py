"""Penalties whose strength follows a schedule, exactly, inside the compiled step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_regplus import schedules
from keras_regplus._checks import count, error_text, finite_number
from keras_regplus._warnings import warn_once
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.regularizers._bases import ScheduledNorms, ScheduledRegularizer, scaled
from keras_regplus.schedules import ScheduleLike, Unit
from keras_regplus.schedules.serialization import checked_schedule
from keras_regplus.schedules.units import check_unit

_STRENGTH_ADVICE = "Use a small positive strength such as 1e-4."
_HUGE = 10.0


@keras.saving.register_keras_serializable(package="keras_regplus")
class Scheduled(ScheduledRegularizer):
    """Any regularizer, with a strength that follows a schedule.

    Use it for penalties that have no scheduled class here, such as
    `keras.regularizers.OrthogonalRegularizer` or one of your own; prefer
    `ScheduledL1`, `ScheduledL2` and `ScheduledL1L2` for theirs.

    `penalty(x, t) = regularizer(x) * schedule(t)`

    The callback `RegularizationScheduler` must be in the callbacks of `fit`.

    Args:
        regularizer: A `keras.regularizers.Regularizer`, its name or its config.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for the
            constant 1.

    Raises:
        TypeError: If `regularizer` is not a regularizer (a plain function cannot be
            saved) or has a schedule of its own, or `schedule` is not a schedule.
        ValueError: If `regularizer` or `schedule` is a name or a config that is unknown.

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

    def __init__(
        self,
        regularizer: keras.regularizers.Regularizer | str | dict[str, Any],
        schedule: ScheduleLike = None,
    ):
        self.regularizer = _as_regularizer(regularizer)
        self.schedule = checked_schedule("Scheduled", schedule)

    def __call__(self, x: Any) -> Any:
        return scaled(self._now(1.0), self.regularizer(x))

    def _arguments(self) -> dict[str, Any]:
        return {"regularizer": keras.saving.serialize_keras_object(self.regularizer)}

    def _strengths(self) -> dict[str, float]:
        return {"": 1.0}


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledL1(ScheduledNorms):
    """An L1 penalty whose strength follows a schedule.

    Use it to push weights towards 0 once the network has learned the coarse structure of
    the data; prefer `ScheduledL2` if weights need only be small.

    `penalty(x, t) = l1 * schedule(t) * sum(|x|)`

    The gradient at exactly 0 is 0 on every backend. The callback
    `RegularizationScheduler` must be in the callbacks of `fit`.

    Args:
        l1: The base strength, a finite number of at least 0. Defaults to 0.01.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for the
            constant 1. Defaults to None.

    Raises:
        TypeError: If `l1` is not a number, or `schedule` is not a schedule.
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
        - [Tibshirani, "Regression Shrinkage and Selection via the Lasso"
          (1996)](https://doi.org/10.1111/j.2517-6161.1996.tb02080.x)
    """

    def __init__(self, l1: float = 0.01, schedule: ScheduleLike = None):
        self.l1 = _checked_strength("ScheduledL1", "l1", l1)
        self.schedule = checked_schedule("ScheduledL1", schedule)
        if self.schedule is None:
            _warn_of_defaults(ScheduledL1, (self.l1,), "1e-4, schedules.LinearWarmup(1000)")

    def _arguments(self) -> dict[str, Any]:
        return {"l1": self.l1}

    def _strengths(self) -> dict[str, float]:
        return {"": self.l1}


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledL2(ScheduledNorms):
    """An L2 penalty whose strength follows a schedule.

    Use it in place of `keras.regularizers.L2` if the penalty should start late, rise or
    fade during training.

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
        TypeError: If `l2` is not a number, or `schedule` is not a schedule.
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
        - [Hoerl & Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems"
          (1970)](https://doi.org/10.1080/00401706.1970.10488634)
    """

    def __init__(self, l2: float = 0.01, schedule: ScheduleLike = None):
        self.l2 = _checked_strength("ScheduledL2", "l2", l2)
        self.schedule = checked_schedule("ScheduledL2", schedule)
        if self.schedule is None:
            _warn_of_defaults(ScheduledL2, (self.l2,), "1e-4, schedules.LinearWarmup(1000)")

    def _arguments(self) -> dict[str, Any]:
        return {"l2": self.l2}

    def _strengths(self) -> dict[str, float]:
        return {"": self.l2}


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledL1L2(ScheduledNorms):
    """An L1 and an L2 penalty that follow one schedule.

    Use it for the elastic net; for two different schedules write a regularizer that adds
    the penalties of a `ScheduledL1` and a `ScheduledL2`.

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
        TypeError: If `l1` or `l2` is not a number, or `schedule` is not a schedule.
        ValueError: If `l1` or `l2` is negative, infinite or NaN.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers, schedules
        >>> both = regularizers.ScheduledL1L2(0.5, 0.25, schedules.LinearWarmup(4))
        >>> with at(step=2):
        ...     penalty = both(2 * keras.ops.ones((3,)))
        >>> float(penalty)
        3.0

    References:
        - [Zou & Hastie, "Regularization and Variable Selection via the Elastic Net"
          (2005)](https://doi.org/10.1111/j.1467-9868.2005.00503.x)
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, schedule: ScheduleLike = None):
        self.l1 = _checked_strength("ScheduledL1L2", "l1", l1)
        self.l2 = _checked_strength("ScheduledL1L2", "l2", l2)
        _warn_of_defaults(
            ScheduledL1L2, (self.l1, self.l2), "1e-5, 1e-4, schedules.LinearWarmup(1000)"
        )
        self.schedule = checked_schedule("ScheduledL1L2", schedule)

    def _arguments(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}

    def _strengths(self) -> dict[str, float]:
        return _named_strengths(self.l1, self.l2)


@keras.saving.register_keras_serializable(package="keras_regplus")
class WarmupL1L2(ScheduledNorms):
    """An L1 and an L2 penalty that rise from 0 to full strength in a straight line.

    Use it when a penalty from the first step keeps the network from learning at
    all. It is short for `ScheduledL1L2` with `schedules.LinearWarmup`.

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
        unit: What `warmup` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `l1`, `l2` or `warmup` is not a number.
        ValueError: If `l1` or `l2` is negative, infinite or NaN, `warmup` is not a
            whole number of at least 1, or `unit` is unknown.

    Example:
        >>> import keras
        >>> from keras_regplus import at, regularizers
        >>> warm = regularizers.WarmupL1L2(l2=0.5, warmup=4)
        >>> with at(step=1):
        ...     penalty = warm(2 * keras.ops.ones((3,)))
        >>> float(penalty)
        1.5

    References:
        - [Zou & Hastie, "Regularization and Variable Selection via the Elastic Net"
          (2005)](https://doi.org/10.1111/j.1467-9868.2005.00503.x)
    """

    def __init__(
        self, l1: float = 0.0, l2: float = 0.0, *, warmup: int = 1000, unit: Unit = "step"
    ):
        self.l1 = _checked_strength("WarmupL1L2", "l1", l1)
        self.l2 = _checked_strength("WarmupL1L2", "l2", l2)
        _warn_of_defaults(WarmupL1L2, (self.l1, self.l2), "l2=1e-4, warmup=1000")
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


def get(
    identifier: keras.regularizers.Regularizer | Callable[[Any], Any] | str | dict[str, Any] | None,
) -> Any:
    """Turn a name or a config into a regularizer.

    Use it in a layer of yours that takes a regularizer, so that it accepts the names of
    this package beside those of Keras.

    Args:
        identifier: None, a regularizer, a function, a config, or a name: `"scheduled_l2"`,
            `"ScheduledL2"` and the like give the class with its default strength and no
            schedule, which is worth a warning; any other name goes to
            `keras.regularizers.get`.

    Returns:
        A regularizer, or None for None.

    Raises:
        ValueError: If `identifier` is a name that is unknown, or that of a penalty whose
            default strength is 0.

    Example:
        >>> from keras_regplus import regularizers
        >>> config = {"class_name": "keras_regplus>ScheduledL2", "config": {"l2": 1e-4}}
        >>> regularizers.get(config)
        ScheduledL2(l2=0.0001, schedule=None)
    """
    if not isinstance(identifier, str):
        return keras.regularizers.get(identifier)
    cls = _BY_NAME.get(identifier)
    regularizer = keras.regularizers.get(identifier) if cls is None else cls()
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


def _checked_strength(owner: str, name: str, value: Any) -> float:
    strength = finite_number(owner, name, value, minimum=0, advice=_STRENGTH_ADVICE)
    if strength >= _HUGE:
        warn_once(
            f"{owner}: `{name}` is {strength:g}, which drowns any loss: usual strengths lie "
            "between 1e-6 and 0.1. If it was meant to be a number of steps, name it: "
            "`warmup=1000`, or a schedule such as `LinearWarmup(1000)`.",
            cause=(owner, name, "huge"),
        )
    return strength


def _warn_of_defaults(cls: type, strengths: tuple[float, ...], example: str) -> None:
    """Warn if a class was called without a strength, as Keras does when it is given the class."""
    # A number that a user passes is another object than the default that it may be equal to.
    defaults = cls.__init__.__defaults__  # type: ignore[misc]
    if all(any(value is default for default in defaults) for value in strengths):
        warn_once(
            f"{cls.__name__}: made without arguments, its strength is {max(strengths):g} from the "
            "first step to the last. Pass an object, not the class or its name: "
            f"`{cls.__name__}({example})`.",
            cause=(cls, "defaults"),
        )
