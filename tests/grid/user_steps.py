"""Models with a loss or a training step of a user's own, as published code writes them.

Each takes `parts`, which makes the penalties: scheduled ones, or those of a plain twin.
The kernel with a penalty holds ones. `ran` counts how often a step of a user's own was
run or traced.
"""

import importlib

import keras
from keras import layers, ops

from .models import BACKEND

steps = importlib.import_module(f".user_steps_{BACKEND}", __package__)

FEATURES, UNITS, OUTPUTS = 4, 3, 2
ran: list[str] = []


def hidden(regularizer, name="hidden", **arguments):
    return layers.Dense(
        UNITS, kernel_initializer="ones", kernel_regularizer=regularizer, name=name, **arguments
    )


def out(name="out", **arguments):
    initializer = keras.initializers.GlorotUniform(seed=1)
    return layers.Dense(OUTPUTS, kernel_initializer=initializer, name=name, **arguments)


def difference(y, y_pred):
    return ops.mean(ops.square(y - y_pred))


class Net(keras.Model):
    """Two layers in a model of their own, within a model to subclass."""

    def __init__(self, parts, **arguments):
        super().__init__(name="net")
        self.inner = keras.Sequential([hidden(parts.l2(), **arguments), out(**arguments)])

    def call(self, x, training=None):
        return self.inner(x, training=training)


# With Keras's training step and a `compute_loss` of one's own.


class AddsAll(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return difference(y, y_pred) + sum(self.losses)


class AddsNone(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return difference(y, y_pred)


class AddsHalf(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return difference(y, y_pred) + 0.5 * sum(self.losses)


class AddsInner(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return difference(y, y_pred) + sum(self.inner.losses)


class AddsOneByOne(keras.Model):
    """Another weight for each penalty: no single share tells what is in the loss."""

    def __init__(self, parts):
        super().__init__(name="net")
        self.first, self.second = hidden(parts.l2(), "first"), hidden(parts.l2(), "second")
        self.out = out()

    def call(self, x):
        return self.out(self.second(self.first(x)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        weighted = zip((1.0, 0.25), self.losses, strict=False)
        return difference(y, y_pred) + sum(weight * loss for weight, loss in weighted)


class OwnTermBesideKeras(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + 0.1 * ops.mean(ops.square(y_pred) - y_pred - 1.0)


class ShareOfKeras(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 0.3 * super().compute_loss(x, y, y_pred, sample_weight, training)


class SlopeBesideKeras(Net):
    """A gradient penalty, in training alone."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            loss = loss + 0.1 * ops.mean(ops.square(steps.input_gradient(self, x)))
        return loss


class Contrastive(Net):
    """Two noisy views of each sample, which are to be alike."""

    def __init__(self, parts):
        super().__init__(parts)
        self.random = keras.random.SeedGenerator(7)

    def view(self, x):
        noise = keras.random.normal(ops.shape(x), seed=self.random)
        return ops.normalize(self(x + 0.1 * noise, training=True))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        first, second = self.view(x), self.view(x)
        similar = ops.matmul(first, ops.transpose(second)) / 0.5
        same = ops.arange(ops.shape(similar)[0])
        losses = keras.losses.sparse_categorical_crossentropy(same, similar, from_logits=True)
        return ops.mean(losses) + sum(self.losses)


class Distiller(keras.Model):
    """As Keras's guide has it: a trained teacher, a student, a loss between them."""

    def __init__(self, parts):
        super().__init__(name="net")
        self.teacher = functional(hidden(parts.l2(), "taught"), out("told"))
        self.teacher.trainable = False
        self.student = functional(hidden(parts.l2()), out())

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
        taught = ops.softmax(self.teacher(x, training=False) / 3.0)
        distance = keras.losses.kl_divergence(taught, ops.softmax(y_pred / 3.0))
        return 0.1 * difference(y, y_pred) + 0.9 * ops.mean(distance)

    def call(self, x):
        return self.student(x)


class DistillerThatAdds(Distiller):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
        return super().compute_loss(x, y, y_pred) + sum(self.losses)


class OwnMetrics(Net):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        return results | {"furthest": ops.max(ops.absolute(y - y_pred))}


class LossIn(Net):
    """Its loss comes in another element type than its weights."""

    def __init__(self, parts, dtype):
        super().__init__(parts)
        self.loss_dtype = dtype

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.cast(difference(y, y_pred) + sum(self.losses), self.loss_dtype)


# With a training step of one's own.


class Own(Net):
    """A step is what `user_steps_<backend>` says, so that each is written for its backend."""

    step: str

    def train_step(self, *args):
        ran.append(self.step)
        return getattr(steps, self.step)(self, *args)


class GuideStep(Own):
    step = "guide_step"


class Tracked(Own):
    def __init__(self, parts):
        super().__init__(parts)
        self.seen = keras.metrics.Mean(name="seen")


class AddsOwnLoss(Tracked):
    step, adds_penalties = "own_loss_step", True


class NeverAdds(Tracked):
    step, adds_penalties = "own_loss_step", False


class NeverAddsWithDropout(NeverAdds):
    """What it predicts is 0, whatever is dropped."""

    def __init__(self, parts):
        super().__init__(parts)
        last = layers.Dense(OUTPUTS, kernel_initializer="zeros", name="out")
        self.inner = keras.Sequential([hidden(parts.l2()), parts.dropout(), last])


class LossAmongMetrics(Tracked):
    """A loss among the metrics, as all BayesFlow models have it."""

    step = "metrics_step"

    def compute_metrics(self, x, y, stage="training"):
        return {"loss": difference(y, self(x, training=stage == "training"))}

    def test_step(self, *args):
        return steps.metrics_test_step(self, *args)


class Sharpness(Tracked):
    step = "sharpness_step"


class GradientPenalty(Tracked):
    step = "gradient_penalty_step"


class Sampling(layers.Layer):
    def __init__(self):
        super().__init__()
        self.random = keras.random.SeedGenerator(7)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.random)
        return mean + ops.exp(0.5 * log_variance) * noise


class Vae(keras.Model):
    """As Keras's example has it, with the penalties of its encoder."""

    def __init__(self, parts):
        super().__init__(name="net")
        inputs = keras.Input((FEATURES,))
        first = hidden(parts.l2())(inputs)
        mean, log_variance = out("mean")(first), out("log_variance")(first)
        z = Sampling()([mean, log_variance])
        self.encoder = keras.Model(inputs, [mean, log_variance, z])
        first = keras.initializers.GlorotUniform(seed=2)
        self.decoder = keras.Sequential([layers.Dense(FEATURES, kernel_initializer=first)])
        self.trackers = [keras.metrics.Mean(name=n) for n in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        return self.trackers

    def call(self, x):
        return self.decoder(self.encoder(x)[2])

    def all_losses(self, x):
        mean, log_variance, z = self.encoder(x)
        reconstruction = ops.mean(ops.sum(ops.square(x - self.decoder(z)), axis=-1))
        kl = -0.5 * (1 + log_variance - ops.square(mean) - ops.exp(log_variance))
        kl = ops.mean(ops.sum(kl, axis=-1))
        total = reconstruction + kl + sum(self.losses)
        return {"loss": total, "reconstruction": reconstruction, "kl": kl}

    def train_step(self, *args):
        ran.append("vae_step")
        return steps.vae_step(self, *args)

    def test_step(self, *args):
        return steps.vae_test_step(self, *args)


# With nothing of a user's own but how its layers are put together.


def functional(*chain):
    inputs = keras.Input((FEATURES,))
    x = inputs
    for layer in chain:
        x = layer(x)
    return keras.Model(inputs, x)


def in_double(parts):
    return functional(hidden(parts.l2(), dtype="float64"), out(dtype="float64"))


def two_outputs(parts):
    inputs = keras.Input((FEATURES,))
    first = hidden(parts.l2())(inputs)
    return keras.Model(inputs, {"near": out("near")(first), "far": out("far")(first)})


class AddsLoss(layers.Layer):
    def call(self, x):
        self.add_loss(0.01 * ops.mean(ops.square(x)))
        return x


def adds_loss(parts):
    return functional(AddsLoss(), hidden(parts.l2()), out())


class Unused(keras.Model):
    """Has two layers that `call` never uses; the weights of one exist all the same."""

    def __init__(self, parts, *unused):
        super().__init__(name="net")
        self.hidden, self.out = hidden(parts.l2()), out()
        self.unused = list(unused)

    def call(self, x):
        return self.out(self.hidden(x))


def unused_dropout(parts):
    return Unused(parts, parts.dropout())


def unused_kernel(parts):
    """Keras adds the penalties of all trainable weights, used or not."""
    extra = hidden(parts.l2(), "extra")
    extra.build((None, FEATURES))
    return Unused(parts, extra)


def unused_activity(parts):
    return Unused(parts, layers.Activation("tanh", activity_regularizer=parts.l2(), name="extra"))


def unused_unbuilt(parts):
    return Unused(parts, hidden(parts.l2(), "extra"))


def frozen_layer(parts):
    return functional(hidden(parts.l2(), "frozen", trainable=False), hidden(parts.l2()), out())


def all_frozen(parts):
    return functional(hidden(parts.l2(), trainable=False), out())


def lora(parts):
    model = functional(hidden(parts.l2()), out())
    model.get_layer("hidden").enable_lora(2, a_initializer="ones", b_initializer="ones")
    return model
