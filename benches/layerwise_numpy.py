"""The layer-wise solver and exact greedy removal in numpy and scipy, on the layer of benches/layerwise.rs.

pip install numpy scipy; python3 benches/layerwise_numpy.py

Prints, for each, the median of its runs (one of exact greedy removal, three of ADMM) and E over that of exact greedy
removal. The ADMM is that of quality `default`
without exchanges of single weights, its refit one Cholesky solve for every output.
"""

import statistics
import time

import numpy as np
import scipy.linalg as la

INPUTS, OUTPUTS, SAMPLES, CAUSES = 400, 500, 1000, 60


def layer():
    state = 1

    def draw(count):
        nonlocal state
        out = np.empty(count)
        for i in range(count):
            state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
            out[i] = (state >> 40) / 2**24 - 0.5
        return out

    mix = draw(CAUSES * INPUTS).reshape(CAUSES, INPUTS)
    x = np.empty((SAMPLES, INPUTS))
    for s in range(SAMPLES):
        causes = draw(CAUSES)
        x[s] = np.maximum(causes @ mix + 0.2 * draw(INPUTS), 0)
    w = draw(OUTPUTS * INPUTS).reshape(OUTPUTS, INPUTS)
    gram = x.T @ x
    return gram + 0.01 * np.mean(np.diag(gram)) * np.eye(INPUTS), w


def refit(h, pull, mask):
    w = np.zeros(mask.shape)
    for row in range(len(w)):
        kept = np.flatnonzero(mask[row])
        if len(kept):
            w[row, kept] = la.cho_solve(la.cho_factor(h[np.ix_(kept, kept)]), pull[row, kept])
    return w


def obc(h, w0, keep):
    inverse = la.cho_solve(la.cho_factor(h), np.eye(len(h)))
    removals = []
    for row, start in enumerate(w0):
        w, inv, live = start.copy(), inverse.copy(), np.arange(len(h))
        while len(live):
            p = np.argmin(w * w / np.diag(inv))
            removals.append((0.5 * w[p] ** 2 / inv[p, p], row, live[p]))
            column = inv[:, p] / inv[p, p]
            stay = np.arange(len(live)) != p
            w = (w - w[p] * column)[stay]
            inv = (inv - np.outer(column, inv[p]))[np.ix_(stay, stay)]
            live = live[stay]
    # losses of a row rise with its removals nearly always; the sort is stable where they do not
    order = sorted(range(len(removals)), key=lambda i: removals[i][0])
    mask = np.ones(w0.shape, bool)
    per_row = np.zeros(len(w0), int)
    for i in order[: len(removals) - keep]:
        per_row[removals[i][1]] += 1
    n = len(h)
    for row in range(len(w0)):
        for _, _, i in removals[row * n : row * n + per_row[row]]:
            mask[row, i] = False
    return refit(h, w0 @ h, mask)


def top(values, keep):
    mask = np.zeros(values.size, bool)
    mask[np.argpartition(np.abs(values).ravel(), -keep)[-keep:]] = True
    return mask.reshape(values.shape)


def alps(h, w0, keep, rho=0.1):
    scale = np.sqrt(np.diag(h))
    values, q = la.eigh(h / np.outer(scale, scale))
    start, pull = w0 * scale, (w0 @ h) / scale
    pull_q = pull @ q
    mask = top(start, keep)
    before, d = mask, start * mask
    u = np.zeros_like(d)
    for iteration in range(1, 301):
        w = ((pull_q + rho * ((d - u) @ q)) / (values + rho)) @ q.T
        mask = top(w + u, keep)
        d = (w + u) * mask
        u += w - d
        if iteration % 3 == 0:
            moved = np.count_nonzero(mask != before)
            if moved == 0:
                break
            growth = 1.3 if moved >= 0.1 * keep else 1.2 if moved >= 0.005 * keep else 1.1
            u /= growth
            rho *= growth
            before = mask
    return refit(h, w0 @ h, mask)


def main():
    h, w0 = layer()
    keep = INPUTS * OUTPUTS // 10

    def error(w):
        return 0.5 * np.sum(((w - w0) @ h) * (w - w0))

    found = {}
    for name, method, runs in (("obc", obc, 1), ("alps", alps, 3)):
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            found[name] = method(h, w0, keep)
            times.append(time.perf_counter() - start)
        print(f"{name}: {statistics.median(times):.3f} s, E {error(found[name]) / error(found['obc']):.4f} of OBC")


if __name__ == "__main__":
    main()
