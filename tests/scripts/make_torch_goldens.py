"""Makes `tests/data/torch/*.json`: small networks run in PyTorch, to compare the dense executor with.

    pip install torch numpy
    python tests/scripts/make_torch_goldens.py tests/data/torch

Each file holds a network as the layers of `cosparse` (name, kind, options, inputs), its parameters, one mini-batch,
and what PyTorch makes of them: the outputs in training mode, the mean cross-entropy, the gradients, the running
statistics, the outputs in evaluation mode, and the parameters after three steps of SGD with momentum and of AdamW.
Everything is computed on the CPU in double precision and written to seven digits, so that the files do not depend
on PyTorch's own rounding.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

# layer: (name, kind, options, inputs)
NETWORKS = {
    # LeNet's shape in small, with every way a convolution may be laid out
    "convolutions": ([2, 7, 6], 4, [
        ("c1", "conv", dict(out=4, kernel=[3, 2], stride=[1, 1], padding=[1, 0, 2, 1], dilation=[1, 2], groups=1, bias=True), ["in"]),
        ("r1", "activation", dict(function="relu"), ["c1"]),
        ("c2", "conv", dict(out=6, kernel=[3, 3], stride=[2, 1], padding=[1, 1, 1, 1], dilation=[1, 1], groups=2, bias=False), ["r1"]),
        ("s2", "activation", dict(function="silu"), ["c2"]),
        ("c3", "conv", dict(out=6, kernel=[2, 3], stride=[1, 2], padding=[0, 1, 1, 0], dilation=[1, 1], groups=6, bias=True), ["s2"]),
        ("c4", "conv", dict(out=5, kernel=[1, 1], stride=[1, 1], padding=[0, 0, 0, 0], dilation=[1, 1], groups=1, bias=True), ["c3"]),
        ("t4", "activation", dict(function="tanh"), ["c4"]),
        ("flat", "flatten", {}, ["t4"]),
        ("fc", "linear", dict(out=4, bias=True), ["flat"]),
    ]),
    # a residual block, pooling of both kinds, batch normalisation, concatenation
    "residual": ([3, 8, 8], 5, [
        ("c1", "conv", dict(out=4, kernel=[3, 3], stride=[1, 1], padding=[1, 1, 1, 1], dilation=[1, 1], groups=1, bias=False), ["in"]),
        ("b1", "batch-norm", dict(eps=1e-5), ["c1"]),
        ("r1", "activation", dict(function="relu6"), ["b1"]),
        ("p1", "pool", dict(mode="max", kernel=[3, 3], stride=[2, 2], padding=1, ceil=False), ["r1"]),
        ("c2", "conv", dict(out=4, kernel=[3, 3], stride=[1, 1], padding=[1, 1, 1, 1], dilation=[1, 1], groups=1, bias=False), ["p1"]),
        ("b2", "batch-norm", dict(eps=1e-3), ["c2"]),
        ("add", "add", {}, ["b2", "p1"]),
        ("g2", "activation", dict(function="gelu"), ["add"]),
        ("p2", "pool", dict(mode="average", kernel=[2, 2], stride=[2, 2], padding=1, ceil=True), ["g2"]),
        ("p3", "pool", dict(mode="max", kernel=[2, 2], stride=[2, 2], padding=1, ceil=True), ["g2"]),
        ("cat", "concat", dict(axis=0), ["p2", "p3"]),
        ("gap", "global-average-pool", {}, ["cat"]),
        ("fc", "linear", dict(out=5, bias=True), ["gap"]),
    ]),
    # one attention head with its feed-forward part
    "attention": ([5], 3, [
        ("table", "embedding", dict(vocabulary=9, features=6), ["in"]),
        ("n1", "layer-norm", dict(eps=1e-5), ["table"]),
        ("q", "linear", dict(out=4, bias=True), ["n1"]),
        ("k", "linear", dict(out=4, bias=False), ["n1"]),
        ("v", "linear", dict(out=6, bias=True), ["n1"]),
        ("scores", "matmul", dict(transpose_b=True), ["q", "k"]),
        ("weights", "softmax", {}, ["scores"]),
        ("mixed", "matmul", dict(transpose_b=False), ["weights", "v"]),
        ("add", "add", {}, ["table", "mixed"]),
        ("n2", "layer-norm", dict(eps=1e-5), ["add"]),
        ("up", "linear", dict(out=8, bias=True), ["n2"]),
        ("act", "activation", dict(function="sigmoid"), ["up"]),
        ("flat", "flatten", {}, ["act"]),
        ("fc", "linear", dict(out=3, bias=True), ["flat"]),
    ]),
}

SAMPLES = 6
SGD = dict(lr=0.05, momentum=0.9)
ADAM = dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)

ACTIVATIONS = dict(relu=F.relu, relu6=F.relu6, gelu=F.gelu, silu=F.silu, sigmoid=torch.sigmoid, tanh=torch.tanh)


def round7(tensor):
    return [float(f"{v:.7g}") for v in tensor.detach().reshape(-1).tolist()]


def make_parameters(layers, shape, generator):
    """Parameters by name, of values that single precision holds, found by running shapes through the network."""
    parameters = {}
    shapes = {"in": tuple(shape)}

    def fresh(name, size, scale, offset=0.0):
        parameters[name] = (torch.randn(size, generator=generator) * scale + offset).float().double()

    for name, kind, o, inputs in layers:
        first = shapes[inputs[0]]
        if kind == "conv":
            size = (o["out"], first[0] // o["groups"], *o["kernel"])
            fresh(f"{name}.weight", size, (size[1] * size[2] * size[3]) ** -0.5)
            if o["bias"]:
                fresh(f"{name}.bias", (o["out"],), 0.1)
        elif kind == "linear":
            fresh(f"{name}.weight", (o["out"], first[-1]), first[-1] ** -0.5)
            if o["bias"]:
                fresh(f"{name}.bias", (o["out"],), 0.1)
        elif kind == "batch-norm":
            fresh(f"{name}.gain", (first[0],), 0.2, 1.0)
            fresh(f"{name}.shift", (first[0],), 0.2)
            parameters[f"{name}.mean"] = torch.zeros(first[0])
            parameters[f"{name}.variance"] = torch.ones(first[0])
        elif kind == "layer-norm":
            fresh(f"{name}.gain", (first[-1],), 0.2, 1.0)
            fresh(f"{name}.shift", (first[-1],), 0.2)
        elif kind == "embedding":
            fresh(f"{name}.table", (o["vocabulary"], o["features"]), 1.0)
        probe = {n: torch.zeros((2, *s)) for n, s in shapes.items()}
        shapes[name] = tuple(apply(kind, name, o, [probe[i] for i in inputs], parameters, False, {}).shape[1:])
    return parameters


def apply(kind, name, o, x, p, training, statistics):
    get = lambda suffix: p.get(f"{name}.{suffix}")
    if kind == "conv":
        top, bottom, left, right = o["padding"]
        padded = F.pad(x[0], (left, right, top, bottom))
        return F.conv2d(padded, get("weight"), get("bias"), stride=o["stride"], dilation=o["dilation"], groups=o["groups"])
    if kind == "linear":
        return F.linear(x[0], get("weight"), get("bias"))
    if kind == "matmul":
        return x[0] @ (x[1].transpose(-1, -2) if o["transpose_b"] else x[1])
    if kind == "pool" and o["mode"] == "max":
        return F.max_pool2d(x[0], o["kernel"], o["stride"], o["padding"], ceil_mode=o["ceil"])
    if kind == "pool":
        return F.avg_pool2d(x[0], o["kernel"], o["stride"], o["padding"], ceil_mode=o["ceil"], count_include_pad=False)
    if kind == "global-average-pool":
        return x[0].mean((2, 3))
    if kind == "activation":
        return ACTIVATIONS[o["function"]](x[0])
    if kind == "batch-norm":
        mean, variance = (statistics[f"{name}.{s}"] if training else p[f"{name}.{s}"] for s in ("mean", "variance"))
        return F.batch_norm(x[0], mean, variance, get("gain"), get("shift"), training, 0.1, o["eps"])
    if kind == "layer-norm":
        return F.layer_norm(x[0], x[0].shape[-1:], get("gain"), get("shift"), o["eps"])
    if kind == "add":
        return sum(x[1:], x[0])
    if kind == "concat":
        return torch.cat(x, o["axis"] + 1)
    if kind == "flatten":
        return x[0].flatten(1)
    if kind == "softmax":
        return x[0].softmax(-1)
    if kind == "embedding":
        return F.embedding(x[0].long(), get("table"))
    raise ValueError(kind)


def run(layers, inputs, p, training, statistics=None):
    values = {"in": inputs}
    for name, kind, o, reads in layers:
        values[name] = apply(kind, name, o, [values[r] for r in reads], p, training, statistics)
    return values[layers[-1][0]]


def trained(name):
    return not name.endswith((".mean", ".variance"))


def fresh_copies(parameters):
    copies = {n: v.clone() for n, v in parameters.items()}
    for n in copies:
        copies[n].requires_grad_(trained(n))
    return copies


def three_steps(layers, inputs, labels, parameters, make):
    p = fresh_copies(parameters)
    statistics = {n: v for n, v in p.items() if not trained(n)}
    optimiser = make(p)
    for _ in range(3):
        optimiser.zero_grad()
        F.cross_entropy(run(layers, inputs, p, True, statistics), labels).backward()
        optimiser.step()
    return {n: round7(v) for n, v in p.items()}


def adam(p):
    # decoupled decay on weights only, as the library does
    groups = [
        dict(params=[v for n, v in p.items() if n.endswith(".weight")]),
        dict(params=[v for n, v in p.items() if trained(n) and not n.endswith(".weight")], weight_decay=0.0),
    ]
    return torch.optim.AdamW(groups, **ADAM)


def sgd(p):
    return torch.optim.SGD([v for n, v in p.items() if trained(n)], **SGD)


def main(folder):
    for seed, (name, (shape, classes, layers)) in enumerate(NETWORKS.items()):
        generator = torch.Generator().manual_seed(seed)
        parameters = make_parameters(layers, shape, generator)
        if layers[0][1] == "embedding":
            inputs = torch.randint(0, layers[0][2]["vocabulary"], (SAMPLES, *shape), generator=generator).double()
        else:
            inputs = torch.randn((SAMPLES, *shape), generator=generator).float().double()
        labels = torch.randint(0, classes, (SAMPLES,), generator=generator)

        p = fresh_copies(parameters)
        statistics = {n: v.clone() for n, v in p.items() if not trained(n)}
        outputs = run(layers, inputs, p, True, statistics)
        loss = F.cross_entropy(outputs, labels)
        loss.backward()
        golden = dict(
            torch=torch.__version__,
            input=shape,
            layers=[dict(name=n, kind=k, inputs=i, **o) for n, k, o, i in layers],
            parameters={n: dict(shape=list(v.shape), values=round9(v)) for n, v in parameters.items()},
            batch=dict(inputs=round9(inputs), labels=labels.tolist()),
            outputs=round7(outputs),
            loss=loss.item(),
            gradients={n: round7(v.grad) for n, v in p.items() if trained(n)},
            statistics={n: round7(v) for n, v in statistics.items()},
            evaluated=round7(run(layers, inputs, parameters, False)),
            sgd=three_steps(layers, inputs, labels, parameters, sgd),
            adam=three_steps(layers, inputs, labels, parameters, adam),
        )
        path = pathlib.Path(folder) / f"{name}.json"
        path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
        print(f"{path}: {path.stat().st_size} bytes, loss {loss.item():.6f}")


def round9(tensor):
    # nine digits name a single-precision number exactly
    return [float(f"{v:.9g}") for v in tensor.detach().reshape(-1).tolist()]


if __name__ == "__main__":
    main(sys.argv[1])
