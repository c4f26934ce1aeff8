"""LeNet-5 in PyTorch on the CPU: forward, backward and Adam, the counterpart of `cargo bench --bench training`.

    pip install torch numpy
    python benches/torch_lenet.py
"""

import time

import torch
from torch import nn

torch.set_num_threads(2)
torch.manual_seed(1)

model = nn.Sequential(
    nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(800, 500), nn.ReLU(), nn.Dropout(0.25), nn.Linear(500, 10),
).to(memory_format=torch.channels_last)
optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
loss_of = nn.CrossEntropyLoss()

for batch in (64, 128):
    images = torch.rand(batch, 1, 28, 28).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 10

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss_of(model(images), labels).backward()
        optimiser.step()

    for _ in range(20):
        step()
    best, total, steps = float("inf"), 0.0, 0
    while total < 10.0:
        start = time.perf_counter()
        for _ in range(10):
            step()
        spent = time.perf_counter() - start
        best, total, steps = min(best, spent / 10), total + spent, steps + 10
    print(f"batch {batch}: {batch * steps / total:.0f} samples/s on average, {batch / best:.0f} at best")
