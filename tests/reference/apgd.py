"""Auto-PGD and its conjugate variant in NumPy float64, from the papers.

Croce & Hein, ICML 2020, Alg. 1 and Sec. 3.1; Yamamura et al., ICML 2022, Alg. 1. Whole
histories are kept, as the papers write them, rather than counters.
"""

import numpy as np


def checkpoints(steps):
    """The iterations w_j at which the step size is reviewed: p_j as in Sec. 3.1."""
    found, window = [0], max(int(0.22 * steps), 1)
    while found[-1] + window <= steps:
        found.append(found[-1] + window)
        window = max(window - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    return found


def conjugate(gradients, directions):
    """Hestenes and Stiefel's beta, at least 0."""
    change = gradients[-2] - gradients[-1]
    along = directions[-1] @ change
    beta = max(0.0, gradients[-1] @ change / along) if along else 0.0
    return gradients[-1] + beta * directions[-1]


def iterates(look, x0, start, eps, steps, unit, project, *, alpha=0.75, turn=None):
    """All iterates, the start included, with the step size and the value at each.

    Args:
        look: x -> (value, gradient).
        x0, start: centre and first iterate, [D].
        unit: direction -> displacement of unit size.
        project: (x, x0, eps) -> feasible point.
        alpha: weight of the new displacement; 1 for the conjugate variant.
        turn: None, or (gradients, directions) so far -> the next direction.
    """
    marks, step_size = checkpoints(steps), 2 * eps
    x, previous, values, sizes = start, start, [], []
    arrivals, path = ([], []), [start]
    top, last_mark = None, None
    for i in range(steps + 1):
        value, grad = look(x)
        values.append(value)
        gradients, directions = arrivals[0] + [grad], arrivals[1]
        if top is None or value > top[0]:
            top = (value, x, gradients, directions)
        if i == 0:
            last_mark = (False, top[0])
        halve = False
        if i in marks[1:]:
            begin = marks[marks.index(i) - 1]
            rises = sum(values[k + 1] > values[k] for k in range(begin, i))
            # Sec. 3.1, conditions 1 and 2; at the first mark there is no condition 2.
            stuck = begin > 0 and not last_mark[0] and last_mark[1] == top[0]
            halve = rises <= 0.75 * (i - begin) or stuck
            last_mark = (halve, top[0])
        if halve:
            step_size /= 2
            _, x, gradients, directions = top
        sizes.append(step_size)
        direction = gradients[-1]
        if turn is not None and directions:
            direction = turn(gradients, directions)
        arrivals = (gradients[-1:], [direction])
        z = project(x + step_size * unit(direction), x0, eps)
        share = 1.0 if i == 0 else alpha
        ahead = project(x + share * (z - x) + (1 - share) * (x - previous), x0, eps)
        x, previous = ahead, x
        path.append(x)
    return np.array(path[: steps + 1]), np.array(sizes), np.array(values)
