"""Projected gradient ascent in NumPy float64 on a tanh net of one hidden layer."""

import numpy as np


def logits(weights, x):
    """second @ tanh(first @ x), shape [K]."""
    first, second = weights
    return second @ np.tanh(first @ x)


def cross_entropy_gradient(weights, x, label):
    """d/dx of -log softmax(logits)[label], by hand, shape [D]."""
    first, second = weights
    hidden = np.tanh(first @ x)
    z = second @ hidden
    probabilities = np.exp(z - z.max())
    probabilities /= probabilities.sum()
    probabilities[label] -= 1
    return first.T @ ((second.T @ probabilities) * (1 - hidden**2))


def iterates(weights, x0, start, label, eps, step_size, steps, direction, project):
    """All iterates after the start, shape [steps, D].

    Args:
        direction: gradient [D] -> displacement of unit size in the norm.
        project: (x, x0, eps) -> the nearest feasible point.
    """
    x, found = start, []
    for _ in range(steps):
        grad = cross_entropy_gradient(weights, x, label)
        x = project(x + step_size * direction(grad), x0, eps)
        found.append(x)
    return np.array(found)
