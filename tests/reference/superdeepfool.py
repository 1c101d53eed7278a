"""SuperDeepFool in L2 without a box, on a tanh net of one hidden layer, in NumPy.

After the algorithm of Abdollahpourrostam et al., NeurIPS 2024: DeepFool until it
crosses, projections, and at last a bisection.
"""

import numpy as np


class Seen:
    """The net, the number of looks and the nearest adversarial point."""

    def __init__(self, weights, x, label):
        self.weights, self.x, self.label = weights, x, label
        self.looks, self.best = 0, None

    def leads(self, z):
        """Of the other classes over the label's, and their gradients; judges z."""
        first, second = self.weights
        hidden = np.tanh(first @ z)
        slopes = (second * (1 - hidden**2)) @ first
        lead, normal = (
            np.delete(a - a[self.label], self.label, axis=0)
            for a in (second @ hidden, slopes)
        )
        self.looks += 1
        nearer = self.best is None or self.size(z) < self.size(self.best)
        if lead.max() >= 0 and nearer:
            self.best = z
        return lead, normal

    def size(self, z):
        return np.linalg.norm(z - self.x)


def superdeepfool(weights, x, label, *, m, n, overshoot, search, rounds=50):
    """The point that is found, or None, and the number of looks at the net."""
    net, z = Seen(weights, x, label), x
    for _ in range(rounds):
        lead, normal = net.leads(z)
        if lead.max() >= 0:
            break
        for _ in range(m):
            k = np.argmin(np.abs(lead) / np.linalg.norm(normal, axis=1))
            z = z - (1 + overshoot) * lead[k] * normal[k] / (normal[k] @ normal[k])
            lead, normal = net.leads(z)
            if lead.max() >= 0:
                break
        for k in range(n):
            if k:
                lead, normal = net.leads(z)
            sizes = np.linalg.norm(normal, axis=1)
            nearest = np.argmin(np.abs(lead) / sizes)
            w = normal[np.argmax(lead) if lead.max() >= 0 else nearest]
            z = x + (z - x) @ w * w / (w @ w)
    if net.best is None:
        return None, net.looks
    low, high, way = 0.0, 1.0, net.best - x
    for _ in range(search):
        middle = (low + high) / 2
        won = net.leads(x + middle * way)[0].max() >= 0
        low, high = (low, middle) if won else (middle, high)
    return net.best, net.looks
