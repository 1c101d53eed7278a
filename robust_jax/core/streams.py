"""The random streams that have a name, each a child of some key under a number.

A key's children are counted from 0: steps, positions, stages of a plan. What is drawn
beside them takes a number that no count reaches, and all such numbers stand here; those
of one key differ, so that no two draws share a child.
"""

import enum

_BEYOND = 2**31  # Above all counts, which are int32.


@enum.unique
class OfItem(enum.IntEnum):
    """Children of the key of one work item, beside the draw of its start."""

    NOISE = _BEYOND - 1  # of an attack's steps
    PLANTING = _BEYOND - 2  # of the audit: where an example is planted for an attack


@enum.unique
class OfSteps(enum.IntEnum):
    """Children of the key of an attack's steps, beside one for each step."""

    WEIGHTS = _BEYOND - 1  # of the logits, in output diversification
    WAY_OUT = _BEYOND - 2  # a direction for each step, taken where the gradient is zero


@enum.unique
class OfTraining(enum.IntEnum):
    """Children of a key of training, beside one for each epoch, step or example."""

    DROPOUT = _BEYOND - 1  # what a loss draws
    SECOND = _BEYOND - 2  # what an objective draws beside its attack
    EXTRA = _BEYOND - 3  # the order of the extra data
    AUGMENT = _BEYOND - 4  # crops, flips and the like
    MIX = _BEYOND - 5  # the shares in mixtures of two images
    WATCH = _BEYOND - 6  # the attack that watches for overfitting


@enum.unique
class OfPlan(enum.IntEnum):
    """In the place of a stage of the plan, see `lift.item_keys`."""

    AUDIT = _BEYOND
    VERDICT = _BEYOND + 1  # answers of a random net to clean images
    CLAIMS = _BEYOND + 2  # answers of a random net to adversarial examples
    IDENTITY = _BEYOND + 3  # points by which a journal knows a model on the host
