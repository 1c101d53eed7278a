"""Carlini and Wagner's L2 attack on an affine model, in NumPy, by the paper's letter.

Written from the paper and the behaviour of the authors' code; float64, one example.
"""

import numpy as np


def to_tanh(x, slack):
    return np.arctanh((2 * x - 1) / (1 + slack))


def from_tanh(w, slack):
    return np.clip(0.5 + 0.5 * (1 + slack) * np.tanh(w), 0, 1)


def margin_and_slope(weights, bias, x, label):
    z = weights @ x + bias
    other = np.argmax(np.where(np.arange(len(z)) == label, -np.inf, z))
    return z[other] - z[label], weights[other] - weights[label]


def adam(step_size):
    """A function slope -> displacement, with a memory."""
    first = second = count = 0

    def step(slope):
        nonlocal first, second, count
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        count += 1
        mean, square = first / (1 - 0.9**count), second / (1 - 0.999**count)
        return -step_size * mean / (np.sqrt(square) + 1e-8)

    return step


def l2(weights, bias, x, label, *, rounds, iterations, step_size, first_const, slack):
    """Nearest adversarial iterate's distance, consts used, iterations spent."""
    const, low, high, best = first_const, 0.0, np.inf, np.inf
    consts, spent = [], 0
    for round_ in range(rounds):
        if rounds >= 10 and round_ == rounds - 1:
            const = min(high, 1e10)
        w, move, won, checked = to_tanh(x, slack), adam(step_size), False, np.inf
        consts.append(const)
        for k in range(iterations):
            here = from_tanh(w, slack)
            margin, slope = margin_and_slope(weights, bias, here, label)
            distance, spent = np.linalg.norm(here - x), spent + 1
            if margin >= 0:
                won, best = True, min(best, distance)
            loss = distance**2 + const * max(0, -margin)
            if k % -(-iterations // 10) == 0:
                if loss > 0.9999 * checked:
                    break
                checked = loss
            total = 2 * (here - x) - const * (margin < 0) * slope
            # Adam's stabiliser counts in units of the loss divided by 1 + const.
            scaled = total / (1 + const) * 0.5 * (1 + slack) / np.cosh(w) ** 2
            w = w + move(scaled)
        low, high = (low, min(high, const)) if won else (max(low, const), high)
        const = 10 * const if np.isinf(high) else (low + high) / 2
    return best, consts, spent


def frozen_by_elimination(free, delta, slope):
    """The indices that one success of the L0 attack freezes, one after the other."""
    effect = np.where(free, np.abs(delta * slope), np.inf)
    enough, frozen = 0.3 * np.sum(np.abs(delta) >= 1e-4) ** 0.5, []
    for index in np.argsort(effect, kind="stable"):
        if not free[index]:
            break
        frozen.append(index)
        if effect[index] > 0.01 or len(frozen) >= enough:
            break
    return frozen


def linf(
    weights,
    bias,
    x,
    label,
    *,
    calls,
    iterations,
    step_size,
    first_const,
    decrease,
    slack,
):
    """The first iterates [calls, d] of the Linf attack, its bounds and consts."""
    const, bound, count = first_const, np.maximum(x, 1 - x).max(), 0
    w, move, trace = to_tanh(x, slack), adam(step_size), []
    for _ in range(calls):
        here = from_tanh(w, slack)
        trace.append((here, bound, const))
        margin, slope = margin_and_slope(weights, bias, here, label)
        delta = here - x
        excess = np.maximum(np.abs(delta) - bound, 0).sum()
        if margin >= 0 and excess < 1e-4 * const:
            bound, count, move = decrease * min(bound, np.abs(delta).max()), 0, None
        elif count + 1 >= iterations:
            const, count, move = 2 * const, 0, None
        else:
            count += 1
        move = adam(step_size) if move is None else move
        total = np.sign(delta) * (np.abs(delta) > bound) - const * (margin < 0) * slope
        w = w + move(total / (1 + const) * 0.5 * (1 + slack) / np.cosh(w) ** 2)
    return tuple(np.array(part) for part in zip(*trace, strict=True))
