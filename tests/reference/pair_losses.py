"""Losses of a tanh net in NumPy float64, and gradients by central differences."""

import numpy as np


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def net(w, x):
    """Logits [B, K] of a net of one hidden layer; w is a dict of arrays."""
    return np.tanh(x.reshape(len(x), -1) @ w["first"]) @ w["second"] + w["bias"]


def own(p, y):
    return p[np.arange(len(y)), y]


def kl(p, q):
    return (p * np.log(p / q)).sum(1)


def cross_entropy(z, y):
    return -np.log(own(softmax(z), y))


def adversarial(z, z_adv, y):
    return cross_entropy(z_adv, y)


def smoothed(z, z_adv, y):
    p, k = softmax(z), z.shape[1]
    return -(0.8 * np.log(own(p, y)) + 0.2 / k * np.log(p).sum(1))


def trades(z, z_adv, y):
    return cross_entropy(z, y) + 6 * kl(softmax(z), softmax(z_adv))


def mart(z, z_adv, y):
    p, q = softmax(z), softmax(z_adv)
    wrong = q.copy()
    wrong[np.arange(len(y)), y] = -1
    boosted = -np.log(own(q, y)) - np.log(1.0001 - wrong.max(1) + 1e-12)
    divergence = (p * (np.log(p) - np.log(q + 1e-12))).sum(1)
    return boosted + 5 * divergence * (1.0000001 - own(p, y))


def logit_pairing(z, z_adv, y):
    half = (cross_entropy(z, y) + cross_entropy(z_adv, y)) / 2
    return half + 0.5 * ((z - z_adv) ** 2).mean(1)


def score(z, z_adv, y):
    p, k = softmax(z), z.shape[1]
    target = 0.9 * np.eye(k)[y] + 0.1 / k
    apart = ((p - softmax(z_adv)) ** 2).sum(1)
    return ((p - target) ** 2).sum(1) + 3 * apart


def gradient(value_of, w, h=1e-5):
    """Central differences of a function of a dict of arrays."""
    grads = {}
    for name, array in w.items():
        grads[name] = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            up, down = array.copy(), array.copy()
            up[index] += h
            down[index] -= h
            rise = value_of({**w, name: up}) - value_of({**w, name: down})
            grads[name][index] = rise / (2 * h)
    return grads
