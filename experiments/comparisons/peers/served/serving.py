"""The other end of `peers.child`: one problem, one answer per line.

The programs of this folder run by path in the environment of `make peers`, which has
no robust_jax: they import each other from the folder itself.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Problem = dict[str, np.ndarray]
# request -> what to answer, and the adversarial images [B, H, W, C] or None
Answer = Callable[[dict[str, Any]], tuple[dict[str, Any], np.ndarray | None]]


def serve(versions: dict[str, str], begin: Callable[[Problem], Answer]) -> None:
    """Answers each line of stdin, a request in JSON, by a line of JSON on stdout.

    The problem is the npz file that the first argument names; the adversarial images
    go to the second one. The first line tells versions and threads, unasked.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Libraries print; only answers belong on stdout.
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with np.load(sys.argv[1]) as file:
        answer = begin(dict(file))
    start = {"versions": versions, "threads": torch.get_num_threads()}
    print(json.dumps(start), file=answers)
    for line in sys.stdin:
        said, x_adv = answer(json.loads(line))
        if x_adv is not None:
            np.savez(sys.argv[2], x_adv=x_adv)
        print(json.dumps(said), file=answers)
