"""A hand-written torch loop whose penalty follows a schedule."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import torch

import keras_regplus as kr

l2 = kr.regularizers.ScheduledL2(0.1, kr.schedules.LinearWarmup(4))
model = keras.Sequential(
    [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=l2)]
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
device = model.layers[0].kernel.value.device
x, y = torch.ones(8, 3, device=device), torch.full((8, 1), 3.0, device=device)

strengths = []
for step in range(6):
    with kr.at(step=step):
        loss = ((model(x, training=True) - y) ** 2).mean() + sum(model.losses)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    # The data loss is 0 and the sum of squares 3, so the loss tells the strength.
    strengths.append(round(loss.item() / 3, 6))
print(strengths)
