"""Every public class keeps the promises of its kind, and none is forgotten."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_regplus
from keras_regplus import testing
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.testing import _callbacks as callback_checks
from keras_regplus.testing import _roundtrips as roundtrips

from .subjects import NOT_CONSTRUCTED, SUBJECTS, Subject

PACKAGES = [
    importlib.import_module(f"keras_regplus.{name}")
    for name in keras_regplus.__all__
    if inspect.ismodule(getattr(keras_regplus, name))
] + [keras_regplus.callbacks.actions]
PUBLIC = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in [*PACKAGES, keras_regplus]
    for name in package.__all__
    if inspect.isclass(getattr(package, name)) or inspect.isfunction(getattr(package, name))
}
CHECKS = {
    "schedule": testing.check_schedule,
    "regularizer": testing.check_regularizer,
    "layer": testing.check_layer,
}
SAVED = [subject for subject in SUBJECTS if subject.kind in CHECKS]


def calls_of(*kinds: str) -> list:
    return [
        pytest.param(subject, kwargs, id=f"{subject.cls.__name__}-{number}")
        for subject in SUBJECTS
        if subject.kind in kinds
        for number, kwargs in enumerate(subject.calls)
    ]


def one_call_of_each(*kinds: str) -> list:
    """The last call of each class in the suite; the others, whose code it shares, in the grid."""
    return [
        pytest.param(
            subject,
            kwargs,
            id=f"{subject.cls.__name__}-{number}",
            marks=[] if kwargs is subject.calls[-1] else [pytest.mark.grid],
        )
        for subject in SUBJECTS
        if subject.kind in kinds
        for number, kwargs in enumerate(subject.calls)
    ]


def bad_values() -> list:
    return [
        pytest.param(subject, argument, value, id=f"{subject.cls.__name__}-{argument}-{number}")
        for subject in SUBJECTS
        for argument, values in subject.bad.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("subject", "kwargs"), calls_of(*CHECKS))
def test_config_and_copies_of_a_part_are_equal(subject, kwargs):
    part = subject.cls(**kwargs)
    roundtrips.check_config(part)
    roundtrips.check_copies(part)


# These train models, save them and load them.
@pytest.mark.parametrize(("subject", "kwargs"), one_call_of_each(*CHECKS))
def test_part_keeps_its_promises(subject, kwargs):
    shape = {"input_shape": subject.input_shape} if subject.kind == "layer" else {}
    CHECKS[subject.kind](subject.cls(**kwargs), **shape)


@pytest.fixture
def only_logs_are_written(kwargs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    written = {path.name for path in tmp_path.iterdir()}
    assert written <= {kwargs.get("log_dir", "logs")}


@pytest.mark.usefixtures("only_logs_are_written")
@pytest.mark.filterwarnings("ignore::keras_regplus.RegPlusWarning")
@pytest.mark.parametrize(("subject", "kwargs"), calls_of("callback"))
def test_callback_is_copied_and_takes_all_logs(subject, kwargs):
    callback_checks.check_copied(subject.cls(**kwargs))
    callback_checks.check_hooks(lambda: subject.cls(**kwargs))


@pytest.mark.usefixtures("only_logs_are_written")
@pytest.mark.parametrize(("subject", "kwargs"), one_call_of_each("callback"))
def test_callback_keeps_its_promises(subject, kwargs):
    testing.check_callback(lambda: subject.cls(**kwargs))


@pytest.mark.parametrize(("subject", "argument", "value"), bad_values())
def test_bad_value_is_refused_in_three_parts(subject: Subject, argument, value):
    kwargs = {**subject.calls[0], argument: value}
    with pytest.raises((TypeError, ValueError)) as raised:
        subject.cls(**kwargs)
    parts = rf"{subject.cls.__name__}: `{argument}` must .+, got .+\. .+\."
    assert re.fullmatch(parts, str(raised.value), re.DOTALL), raised.value


@pytest.mark.parametrize(("subject", "kwargs"), calls_of(*CHECKS, "callback", "other"))
def test_constructor_leaves_its_arguments_alone(subject, kwargs):
    def state():
        return json.dumps(keras.saving.serialize_keras_object(dict(kwargs)), sort_keys=True)

    before = state()
    subject.cls(**kwargs)
    assert state() == before


@pytest.mark.parametrize(("subject", "kwargs"), calls_of(*CHECKS, "callback", "other"))
def test_constructor_keeps_its_arguments_as_attributes(subject, kwargs):
    part = subject.cls(**kwargs)
    assert [
        name for name in roundtrips.constructor_arguments(subject.cls) if not hasattr(part, name)
    ] == []


@pytest.mark.parametrize("subject", SAVED, ids=lambda subject: subject.cls.__name__)
def test_registered_name_is_the_one_in_old_files(subject):
    name = keras.saving.get_registered_name(subject.cls)
    assert name == f"keras_regplus>{subject.cls.__name__}"
    assert keras_regplus.custom_objects()[name] is subject.cls


def test_custom_objects_lists_what_can_be_saved_and_nothing_else():
    assert set(keras_regplus.custom_objects().values()) == {subject.cls for subject in SAVED}


# Prints what each part gives, loaded with and without `custom_objects`.
READ_IN_NEW_PROCESS = """
import json, sys
import keras_regplus
import keras, numpy

rows = json.load(open(sys.argv[1]))
for file in sys.argv[2:]:
    for objects in (None, keras_regplus.custom_objects()):
        model = keras.saving.load_model(
            file, custom_objects=objects, compile=file.endswith(".keras"), safe_mode=True
        )
        for row in rows:
            part = model.get_layer(row["model"])
            output = keras.ops.convert_to_numpy(part(numpy.float32(row["batch"]), training=False))
            print(json.dumps([output.tolist(), sum(float(loss) for loss in part.losses)]))
"""


def model_of_all_parts(calls: slice) -> tuple[keras.Model, dict[str, keras.Model]]:
    """Side by side in one model, so that one training, file and process serve them all."""
    models = {
        f"{subject.cls.__name__} {kwargs}": roundtrips.model_with(
            subject.cls(**kwargs), subject.input_shape
        )
        for subject in SAVED
        for kwargs in subject.calls[calls]
    }
    inputs = [keras.Input(model.input_shape[1:]) for model in models.values()]
    outputs = [
        keras.layers.Flatten()(model(x)) for model, x in zip(models.values(), inputs, strict=True)
    ]
    whole = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    whole.compile(
        keras.optimizers.SGD(0.1),
        loss=keras.losses.MeanSquaredError(),
        # Compiled trainings are saved elsewhere; TensorFlow takes seconds to trace this one.
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    return whole, models


# A layer without a schedule needs no clock, and gets one here like all others.
@pytest.mark.filterwarnings("ignore::keras_regplus.RegPlusWarning")
@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(slice(-1, None), id="the last call of each class"),
        pytest.param(slice(None), id="all calls", marks=pytest.mark.grid),
    ],
)
def test_models_load_in_a_process_that_has_only_imported_the_package(calls, tmp_path):
    whole, models = model_of_all_parts(calls)
    batches = {name: roundtrips.batch(model) for name, model in models.items()}
    whole.fit(
        list(batches.values()),
        np.zeros((4, whole.output_shape[1]), "float32"),
        batch_size=2,
        verbose=0,
        callbacks=[RegularizationScheduler(log=False)],
    )
    rows = [
        {"model": model.name, "batch": batches[name].tolist()} for name, model in models.items()
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    files = [str(tmp_path / f"whole.{ending}") for ending in ("keras", "h5")]
    expected = [roundtrips.readings(model) for model in models.values()]
    for file in files:
        whole.save(file)
    result = subprocess.run(
        [sys.executable, "-c", READ_IN_NEW_PROCESS, str(tmp_path / "rows.json"), *files],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]
    assert len(found) == 4 * len(models)
    for (name, row), (output, penalty) in zip(
        4 * list(zip(models, expected, strict=True)), found, strict=True
    ):
        np.testing.assert_allclose(output, row["output"], rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(penalty, row["penalty"], rtol=1e-6, err_msg=name)


def test_every_public_class_has_a_row():
    rows = {subject.cls for subject in SUBJECTS} | set(NOT_CONSTRUCTED)
    classes = {thing for thing in PUBLIC.values() if inspect.isclass(thing)}
    assert classes - rows == {keras_regplus.RegPlusWarning}
    assert rows - classes == set()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.cls.__name__)
def test_every_argument_has_a_bad_value_or_a_reason(subject):
    tabled = sorted([*subject.bad, *subject.exempt])
    assert tabled == sorted(roundtrips.constructor_arguments(subject.cls))
    assert all(subject.bad.values()), "an argument has an empty list"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.cls.__name__)
def test_every_argument_is_documented(subject):
    arguments = section(subject.cls.__doc__, "Args")
    for name in roundtrips.constructor_arguments(subject.cls):
        assert re.search(rf"^ +{name}: ", arguments, re.MULTILINE), name
    raises = section(subject.cls.__doc__, "Raises")
    assert raises or not subject.bad
    unnamed = [name for name in subject.bad if f"`{name}`" not in raises]
    assert unnamed == []


@pytest.mark.parametrize("name", [s.cls.__name__ for s in SUBJECTS if s.kind == "layer"])
def test_every_layer_says_its_output_shape(name):
    docstring = getattr(keras_regplus.layers, name).__doc__
    assert section(docstring, "Call arguments")
    assert section(docstring, "Output shape")


# Authors, title and year of a paper, or whatever a page that is no paper is called.
PAPER = re.compile(r'\[[^\[\]]+, "[^"]+" \(\d{4}\)\]\(https://[^)\s]+\)')
PAGE = re.compile(r"\[[^\[\]]+\]\(https://(?!doi\.org|arxiv\.org)[^)\s]+\)")


@pytest.mark.parametrize("name", [name for name in PUBLIC if "References:" in PUBLIC[name].__doc__])
def test_every_reference_has_a_link_and_one_form(name):
    references = re.split(r"^ *- ", section(PUBLIC[name].__doc__, "References"), flags=re.MULTILINE)
    texts = [" ".join(text.split()) for text in references]
    wrong = [text for text in texts[1:] if not (PAPER.match(text) or PAGE.match(text))]
    assert texts[0] == "" and len(texts) > 1
    assert wrong == []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name):
    assert ">>>" in section(PUBLIC[name].__doc__, "Example")


def section(docstring: str | None, name: str) -> str:
    """The text under a heading of a docstring, empty where there is none."""
    text = inspect.cleandoc(docstring or "")
    found = re.search(rf"^{name}:\n((?:[ ].*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else ""


class Leaky(keras.regularizers.Regularizer):
    """Breaks one promise after another, to show that the checks see it."""

    def __init__(self, l2=0.1):
        self.l2 = l2

    def __call__(self, x):
        return self.l2 * keras.ops.sum(keras.ops.square(x))

    def get_config(self):
        return {"l2": self.l2}


@keras.saving.register_keras_serializable("contract_tests")
class Forgetful(Leaky):
    def get_config(self):
        return {}


@keras.saving.register_keras_serializable("contract_tests")
class Hoarding(Leaky):
    def get_config(self):
        return {"l2": self.l2, "extra": 1}


@keras.saving.register_keras_serializable("contract_tests")
class NotPlain(Leaky):
    def get_config(self):
        return {"l2": np.float32(self.l2)}


@keras.saving.register_keras_serializable("contract_tests")
class Changing(Leaky):
    def get_config(self):
        return {"l2": self.l2 * 2}


@keras.saving.register_keras_serializable("contract_tests")
class Negative(Leaky):
    def __call__(self, x):
        return -super().__call__(x)


@keras.saving.register_keras_serializable("contract_tests")
class Unsummed(Leaky):
    def __call__(self, x):
        return keras.ops.square(x)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Leaky, "must be registered"),
        (Forgetful, "lacks"),
        (Hoarding, "nothing but"),
        (NotPlain, "plain JSON"),
        (Changing, "keep the config"),
        (Negative, "at least 0"),
        (Unsummed, "scalar"),
    ],
)
def test_broken_regularizer_is_found(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_regularizer(broken())


@keras.saving.register_keras_serializable("contract_tests")
class Typed(keras_regplus.schedules.Schedule):
    """Gives another value for a float than for an int."""

    def __call__(self, t):
        return 0.5 if isinstance(t, float) else 1.0


@keras.saving.register_keras_serializable("contract_tests")
class Endless(keras_regplus.schedules.Schedule):
    """Grows beyond all bounds."""

    def __call__(self, t):
        return keras.ops.exp(keras.ops.cast(t, "float32"))


@pytest.mark.parametrize(("broken", "said"), [(Typed, "type of t"), (Endless, "finite")])
def test_broken_schedule_is_found(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_schedule(broken())


class Meddling(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.layers[-1].bias.assign(keras.ops.ones((3,)))


class Demanding(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["loss"]


@pytest.mark.parametrize(("broken", "said"), [(Meddling, "to the bit"), (Demanding, "must take")])
def test_broken_callback_is_found(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_callback(broken)


@pytest.mark.parametrize("check", [*CHECKS.values(), testing.check_callback])
def test_check_refuses_what_is_no_part(check):
    with pytest.raises(TypeError, match=rf"^{check.__name__}: `.+` must be .+, got .+\. .+\.$"):
        check(copy)
