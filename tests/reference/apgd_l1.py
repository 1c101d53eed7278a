"""L1-APGD in NumPy float64 on a tanh net of one hidden layer, stage by stage.

Croce & Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers", ICML 2021, with the constants of their code.
"""

import numpy as np

from tests.reference import pgd, projections

# Steps are shares of the radius in float32, as ours: a pixel that two steps bring back
# to its value counts as changed or not by their last bits.
ONE = np.float32(1)


def loss_and_gradient(weights, x, label):
    """-log softmax(logits)[label] and its gradient, [] and [D]."""
    z = pgd.logits(weights, x)
    loss = np.log(np.exp(z - z.max()).sum()) + z.max() - z[label]
    return loss, pgd.cross_entropy_gradient(weights, x, label)


def sparse_step(grad, count):
    """The signs of the `count` largest entries, over their number."""
    step = np.zeros_like(grad)
    largest = np.argsort(-np.abs(grad), kind="stable")[:count]
    step[largest] = np.sign(grad[largest])
    return step / np.abs(step).sum()


def stage(weights, x0, start, label, eps, steps, share, changed):
    """One radius: all iterates [steps + 1, D], the highest one, how often it went back.

    Args:
        share: of the coordinates, which the first steps move.
        changed: the number of coordinates against which the first checkpoint holds
            that of the highest iterate.
    """
    dims, relative, returns = len(x0), ONE, 0
    x = start
    loss, grad = loss_and_gradient(weights, x, label)
    best_x, best_loss, best_grad = x, loss, grad
    found = [x]
    for i in range(1, steps + 1):
        count = max(int(np.ceil(round(share * dims, 9))), 1)
        ahead = x + float(relative) * eps * sparse_step(grad, count)
        x = projections.by_bisection("l1", ahead, x0, eps, 0.0, 1.0)
        found.append(x)
        loss, grad = loss_and_gradient(weights, x, label)
        if loss > best_loss:
            best_x, best_loss, best_grad = x, loss, grad
        if i % max(int(0.04 * steps), 1) == 0:
            now = int((best_x != x0).sum())
            share = now / dims / 1.5
            if now / changed < 0.95:
                returns += np.abs(best_x - x).max() > 1e-3
                relative, x, grad = ONE, best_x, best_grad
            else:
                relative = max(relative / np.float32(1.5), np.float32(0.1))
            changed = now
    return np.array(found), best_x, returns


def single(weights, x0, start, label, eps, steps):
    """One radius, of whose sparsity nothing is known: iterates, returns."""
    found, _, returns = stage(weights, x0, start, label, eps, steps, 0.2, len(x0))
    return found, returns


def shrinking(weights, x0, start, label, eps, lengths):
    """Radii of 3, 2 and 1 times eps: iterates [sum(lengths) + 3, D], returns."""
    found, returns, x = [], 0, start
    for radius, steps in zip((3.0, 2.0, 1.0), lengths, strict=True):
        x = projections.by_bisection("l1", x, x0, radius * eps, 0.0, 1.0)
        changed = int((x != x0).sum())
        share = changed / len(x0) / 1.5
        iterates, x, more = stage(
            weights, x0, x, label, radius * eps, steps, share, changed
        )
        found, returns = [*found, iterates], returns + more
    return np.concatenate(found), returns
