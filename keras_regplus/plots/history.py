"""One metric of several trainings as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_regplus._checks import boolean, checked_mode, error_text, finite_number
from keras_regplus.histories.epochs import History
from keras_regplus.histories.history_like import HistoryLike
from keras_regplus.histories.metric_names import direction_of_name
from keras_regplus.plots._drawing import COLORS, MARKERS, finish, pyplot, title_of
from keras_regplus.plots._groups import Group, draw_curves
from keras_regplus.plots._lines import checked_history, metrics_of
from keras_regplus.plots._marks import Marks
from keras_regplus.plots._strengths import checked_scheduled, draw_strengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HistoryPlotter"]

_OWNER = "HistoryPlotter"


class HistoryPlotter:
    """Draws one metric of several trainings: training solid, validation dashed.

    Use it to compare runs. A name keeps its colour over all calls, so that
    several pictures can be read together; the colours are chosen for
    colour-blind readers. For a single training `plot_history` is shorter.

    Args:
        metric: What `plot` draws by default, as in `history.history`; for `"val_loss"` the
            pair is drawn as for `"loss"`. Defaults to None: name it in each call of `plot`.
        smoothing_std: Standard deviation, in epochs, of the Gaussian that
            smooths the curves, at least 0. Defaults to None: as they are.

    Raises:
        TypeError: If `metric` is not a text, or `smoothing_std` not a number.
        ValueError: If `smoothing_std` is negative or not finite.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from keras_regplus.plots import HistoryPlotter
        >>> runs = {
        ...     "small": {"loss": [0.9, 0.7, 0.6], "val_loss": [1.0, 0.8, 0.7]},
        ...     "large": {"loss": [0.8, 0.3, 0.1], "val_loss": [0.9, 0.8, 1.3]},
        ... }
        >>> ax = HistoryPlotter("loss").plot(runs, ax=Figure().add_subplot())
        >>> [line.get_label() for line in ax.lines]
        ['Small Train', 'Small Val', 'Large Train', 'Large Val']

    References:
        - [TensorFlow, "Overfit and underfit"
          (tutorial)](https://www.tensorflow.org/tutorials/keras/overfit_and_underfit), with its
          `tensorflow_docs.plots.HistoryPlotter`. There the Gaussian has a deviation of 3.54
          epochs for every `smoothing_std` from 5 on; here it has the one you ask for
        - [Okabe and Ito, "Color Universal Design" (2008)](https://jfly.uni-koeln.de/color/)
    """

    def __init__(self, metric: str | None = None, smoothing_std: float | None = None):
        self.metric = _checked_metric(metric)
        self.smoothing_std = _checked_std(smoothing_std)
        self.color_table: dict[Any, str] = {}

    def plot(
        self,
        histories: Mapping[Any, HistoryLike | Sequence[HistoryLike]],
        metric: str | None = None,
        smoothing_std: float | None = None,
        ax: Axes | None = None,
        *,
        mark_best: bool = False,
        mark_onset: bool = False,
        scheduled: str | None = None,
        markers: bool = False,
        mode: Literal["auto", "min", "max"] = "auto",
    ) -> Axes:
        """Draw the histories and return the Axes.

        A curve goes through the epochs that have values, so `validation_freq` and
        values that are None, NaN or infinite leave no gaps.

        Args:
            histories: Dict of name to history: a `keras.callbacks.History`; a dict of
                lists such as `history.history`, or a DataFrame; or a path, which
                `diagnosis.read_history` reads. A list of these, as of several seeds, is
                drawn as their mean, as far as all of them have values, in a band of one
                standard deviation to each side. Runs without validation are drawn
                without it.
            metric: What to draw. Defaults to the plotter's own.
            smoothing_std: In epochs. Defaults to the plotter's own.
            ax: The matplotlib Axes to draw on. Defaults to pyplot's current
                one; where it is given, pyplot is not touched.
            mark_best: Put a point at the best epoch of each validation curve
                (before smoothing). Defaults to False.
            mark_onset: Shade each validation curve from the epoch on at which overfitting
                began, as `diagnosis.diagnose` says. Defaults to False.
            scheduled: What was scheduled, drawn dotted on a second axis: `"strength"`
                or `"rate"`, or the beginning of a key of the history, such as
                `"strength/hidden_1"`. Curves that are equal are drawn once. Defaults to
                None.
            markers: Give each run a marker, too, for paper without colours. Defaults to
                False.
            mode: `"min"` or `"max"`, what best means; `"auto"` takes it from the name of
                the metric, and counts a name that does not tell as a loss. Defaults to
                `"auto"`.

        Returns:
            The Axes.

        Raises:
            ImportError: If matplotlib is not installed and no `ax` is given.
            OSError: If a path in `histories` cannot be opened.
            TypeError: If `histories` is not a dict of histories, `metric` or `scheduled` not a
                text, `smoothing_std` not a number, or `mark_best`, `mark_onset` or `markers`
                not True or False.
            ValueError: If `histories` is empty or a path in it holds no history, one of them
                lacks `metric`, none has what is `scheduled`, `smoothing_std` is negative or
                not finite, or `mode` is none of the three.
        """
        runs_by_name = _checked_histories(histories)
        metric = self._metric(metric, runs_by_name)
        std = self.smoothing_std if smoothing_std is None else _checked_std(smoothing_std)
        marks = _checked_marks(mark_best, mark_onset, mode, metric)
        scheduled = checked_scheduled(scheduled, runs_by_name.values())
        with_markers = boolean(_OWNER, "markers", markers, advice="Use True to print in grey.")
        groups = [self._group(name, runs, with_markers) for name, runs in runs_by_name.items()]
        ax = pyplot().gca() if ax is None else ax
        for group in groups:
            draw_curves(ax, group, metric, std)
            marks.draw(ax, group, metric, std)
        second = [draw_strengths(ax, groups, scheduled)] if scheduled else []
        last_epoch = max(group.last_epoch for group in groups)
        finish(ax, title_of(metric), last_epoch, *second)
        return ax

    def _metric(self, metric: str | None, runs_by_name: Mapping[Any, list[History]]) -> str:
        metric = self.metric if metric is None else _checked_metric(metric)
        twin = str(metric).removeprefix("val_")
        if all(twin in history for runs in runs_by_name.values() for history in runs):
            return twin
        for name, runs in runs_by_name.items():
            for history in runs:
                if metric not in history:
                    known = ", ".join(metrics_of(history)) or "nothing"
                    advice = f"The history of {name!r} has: {known}."
                    rule = "a metric that every history has"
                    raise ValueError(error_text(_OWNER, "metric", rule, metric, advice))
        return str(metric)

    def _group(self, name: Any, runs: list[History], with_markers: bool) -> Group:
        self.color_table.setdefault(name, COLORS[len(self.color_table) % len(COLORS)])
        place = list(self.color_table).index(name)
        marker = MARKERS[place % len(MARKERS)] if with_markers else None
        return Group(str(name).title(), runs, self.color_table[name], marker)


def _checked_histories(histories: Any) -> dict[Any, list[History]]:
    rule = "a dict of name to history"
    advice = 'Pass for example {"large": history}.'
    if not isinstance(histories, Mapping):
        raise TypeError(error_text(_OWNER, "histories", rule, histories, advice))
    listed = {
        name: list(runs) if isinstance(runs, list | tuple) else [runs]
        for name, runs in histories.items()
    }
    if not listed or not all(listed.values()):
        raise ValueError(error_text(_OWNER, "histories", rule, histories, advice))
    return {
        name: [checked_history(_OWNER, "histories", run) for run in runs]
        for name, runs in listed.items()
    }


def _checked_metric(metric: Any) -> Any:
    if metric is None or isinstance(metric, str):
        return metric
    advice = "Use a key of `history.history` such as 'loss'."
    raise TypeError(error_text(_OWNER, "metric", "a text", metric, advice))


def _checked_std(std: Any) -> float | None:
    if std is None:
        return None
    advice = "Use some epochs such as 10, or None for the curves as they are."
    return finite_number(_OWNER, "smoothing_std", std, minimum=0.0, advice=advice)


def _checked_marks(best: Any, onset: Any, mode: Any, metric: str) -> Marks:
    best = boolean(_OWNER, "mark_best", best, advice="Use True to put a point at the best epoch.")
    onset = boolean(_OWNER, "mark_onset", onset, advice="Use True to shade overfitting.")
    checked_mode(_OWNER, mode, auto=True)
    if mode == "auto":
        mode = "max" if direction_of_name(metric) == "max" else "min"
    return Marks(best, onset, mode)
