"""Transfer attacks in NumPy float64, from their papers; Linf, pixels in [0, 1]."""

import numpy as np


def looks(gradient, points, step_size, decay, *, ahead=False, neighbours=None):
    """What a momentum attack would climb at given iterates, before the momentum.

    Nesterov's point is x + step_size * decay * g; variance tuning adds the last
    step's mean gradient of the neighbours minus the gradient.

    Args:
        gradient: x [D] -> [D].
        points: the iterates, [T, D].
        ahead: look ahead, as NI-FGSM does.
        neighbours: [T, N, D], as VMI-FGSM draws them.
    Returns: the tuned gradients, the points where the model was differentiated and
        the accumulated directions, each [T, D].
    """
    g, v, found = 0.0, 0.0, []
    for t, x in enumerate(points):
        at = x + step_size * decay * g if ahead else x
        raw = gradient(at)
        tuned = raw + v
        g = decay * g + tuned / np.abs(tuned).mean()
        if neighbours is not None:
            v = np.mean([gradient(p) for p in neighbours[t]], axis=0) - raw
        found.append((tuned, at + 0.0 * x, g))
    return tuple(np.array(each) for each in zip(*found, strict=True))


def over_scales(gradient, copies):
    """SI: the gradient of the mean objective over x / 2^i."""
    return lambda x: np.mean([gradient(x / 2**i) / 2**i for i in range(copies)], axis=0)


def iterates(gradient, x0, eps, step_size, decay, steps):
    """NI-FGSM: all iterates after x0, [steps, D]."""
    x, g, found = np.asarray(x0, np.float64), 0.0, []
    for _ in range(steps):
        raw = gradient(x + step_size * decay * g)
        g = decay * g + raw / np.abs(raw).mean()
        x = np.clip(x + step_size * np.sign(g), x0 - eps, x0 + eps).clip(0, 1)
        found.append(x)
    return np.array(found)


def smoothed(grad, kernel_size):
    """TI: [H, W] convolved with the outer product of Gaussians, zeros beyond."""
    deviations = np.linspace(-3, 3, kernel_size)
    kernel = np.exp(-0.5 * (deviations[:, None] ** 2 + deviations**2))
    kernel, half = kernel / kernel.sum(), kernel_size // 2
    padded = np.pad(grad, half)
    result = np.zeros_like(grad)
    for i, j in np.ndindex(kernel.shape):
        rows, columns = grad.shape
        result += kernel[i, j] * padded[i : i + rows, j : j + columns]
    return result


def resized(line, size):
    """A line [n] sampled at `size` even places, linear in between, constant beyond."""
    n = len(line)
    places = (np.arange(size) + 0.5) * n / size - 0.5
    return np.interp(places, np.arange(n), line)
