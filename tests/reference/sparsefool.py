"""SparseFool in the unit box on a tanh net of one hidden layer, in NumPy.

After Modas et al., CVPR 2019, Alg. 1 and 2; a round goes on from the sparse point with
its overshoot.
"""

import numpy as np

from tests.reference.fab import shortest


def sparsefool(weights, x, label, *, deepfool_steps, past, overshoot, rounds=20):
    """The sparse point of the last round, whether it won, and the number of looks."""
    first, second = weights
    base, looks = x, 0

    def leads(z):
        nonlocal looks
        looks += 1
        hidden = np.tanh(first @ z)
        slopes = (second * (1 - hidden**2)) @ first
        return (
            np.delete(a - a[label], label, axis=0) for a in (second @ hidden, slopes)
        )

    def way(norm, normal, gap, z):
        return shortest(norm, normal, gap, z, 0.0, 1.0)

    for _ in range(rounds):
        lead, normal = leads(base)
        if lead.max() >= 0:
            return base, True, looks
        z = base
        for _ in range(deepfool_steps):
            k = np.argmin(np.abs(lead) / np.linalg.norm(normal, axis=1))
            z = np.clip(z + (1 + overshoot) * way("l2", normal[k], -lead[k], z), 0, 1)
            lead, normal = leads(z)
            if lead.max() >= 0:
                break
        nearest = np.argmin(np.abs(lead) / np.linalg.norm(normal, axis=1))
        w = normal[np.argmax(lead) if lead.max() >= 0 else nearest]
        moved = base + way("l1", w, past * abs(w @ (z - base)), base)
        base = np.clip(x + (1 + overshoot) * (moved - x), 0, 1)
    return base, False, looks
