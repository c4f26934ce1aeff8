"""Training steps of LeNet-5, ResNet-20 and the text transformer in PyTorch on the CPU, side by side with ours.

    pip install torch numpy
    cargo build --release --example training_speed
    python benches/torch_training.py target/release/examples/training_speed

Forward, backward and the workload's optimiser, batches of 64, two threads, float32, maps channels last. Both sides
take turns for a few seconds each, so that a change of the machine's load meets both; the table shows the medians of
the turns, each the median of its steps. Names of networks as further arguments choose among them.
"""

import os
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional

BATCH, THREADS, TURNS, SECONDS = 64, 2, 7, 4.0
torch.set_num_threads(THREADS)
torch.manual_seed(1)


def lenet5():
    """workloads/lenet5.toml"""
    model = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(800, 500), nn.ReLU(), nn.Dropout(0.25), nn.Linear(500, 10),
    ).to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 1, 28, 28).to(memory_format=torch.channels_last)
    return model, (images,), 10, torch.optim.Adam(model.parameters(), lr=1e-4)


class Residual(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if stride == 1 else nn.Sequential(
            nn.Conv2d(channels, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


def resnet20():
    """workloads/resnet20.toml"""
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    channels = 16
    for outputs in (16, 32, 64):
        for block in range(3):
            layers.append(Residual(channels, outputs, 2 if block == 0 and outputs > 16 else 1))
            channels = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    model = model.to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    return model, (images,), 10, torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)


class Encoder(nn.Module):
    def __init__(self, features=128, heads=4, hidden=256, drop=0.3):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.query, self.key, self.value, self.out = (nn.Linear(features, features) for _ in range(4))
        self.up, self.down = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.drop = nn.Dropout(drop)

    def forward(self, x, mask):
        batch, tokens, features = x.shape
        split = lambda y: y.view(batch, tokens, self.heads, -1).transpose(1, 2)
        y = self.norm1(x)
        mixed = functional.scaled_dot_product_attention(
            split(self.query(y)), split(self.key(y)), split(self.value(y)), attn_mask=mask)
        x = x + self.drop(self.out(mixed.transpose(1, 2).reshape(batch, tokens, features)))
        return x + self.drop(self.down(functional.gelu(self.up(self.norm2(x)))))


class Transformer(nn.Module):
    def __init__(self, vocabulary=8000, tokens=56, features=128):
        super().__init__()
        self.words = nn.Embedding(vocabulary, features)
        self.positions = nn.Parameter(torch.zeros(tokens, features))
        self.drop = nn.Dropout(0.3)
        self.layers = nn.ModuleList(Encoder() for _ in range(2))
        self.norm = nn.LayerNorm(features)
        self.fc = nn.Linear(features, 2)

    def forward(self, tokens):
        kept = tokens != 0
        x = self.drop(self.words(tokens) + self.positions)
        for layer in self.layers:
            x = layer(x, kept[:, None, None, :])
        weight = kept.unsqueeze(-1).float()
        return self.fc((self.norm(x) * weight).sum(1) / weight.sum(1))


def transformer():
    """workloads/text-transformer.toml"""
    model = Transformer()
    tokens = 1 + torch.arange(BATCH * 56).view(BATCH, 56) * 31 % 7999
    return model, (tokens,), 2, torch.optim.Adam(model.parameters(), lr=1e-4)


def steps_of(make):
    model, inputs, classes, optimiser = make()
    labels = torch.arange(BATCH) % classes
    loss_of = nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss_of(model(*inputs), labels).backward()
        optimiser.step()

    def turn():
        times, begun = [], time.perf_counter()
        while time.perf_counter() - begun < SECONDS or len(times) < 4:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return BATCH / statistics.median(times[3:] or times)

    return turn


def main():
    ours = sys.argv[1]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(THREADS))
    networks = {"lenet5": lenet5, "resnet20": resnet20, "text-transformer": transformer}
    print(f"torch {torch.__version__}, batch {BATCH}, {THREADS} threads, medians of {TURNS} turns")
    for name in sys.argv[2:] or networks:
        turn = steps_of(networks[name])
        pairs = []
        for _ in range(TURNS):
            run = subprocess.run([ours, name, str(BATCH), str(SECONDS)], env=environment, check=True,
                                 capture_output=True, text=True)
            pairs.append((float(run.stdout), turn()))
        mine, theirs = (statistics.median(side) for side in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{name}: ours {mine:.0f} samples/s, PyTorch {theirs:.0f}, ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
