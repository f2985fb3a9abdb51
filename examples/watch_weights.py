"""A training whose weights, metrics and strengths TensorBoard shows.

python -m examples.watch_weights [LOGS]
tensorboard --logdir LOGS
"""

import sys

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_regplus as kr


def main(log_dir: str = "logs") -> keras.callbacks.History:
    """Train a small network on scikit-learn's digits."""
    keras.utils.set_random_seed(1)
    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x / 16, y, train_size=500, random_state=1)
    warmup = kr.schedules.LinearWarmup(20, "epoch")
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(
                128,
                "relu",
                kernel_regularizer=kr.regularizers.ScheduledL2(1e-3, warmup),
                name="hidden",
            ),
            keras.layers.Dense(10, "softmax", name="output"),
        ],
        name="digits",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(
        x_train,
        y_train,
        validation_data=(x_val, y_val),
        epochs=40,
        verbose=0,
        callbacks=[
            kr.callbacks.RegularizationScheduler(),
            kr.callbacks.WeightHistogram(log_dir, metrics=True, scalars=True),
        ],
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
