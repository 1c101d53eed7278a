"""Sittings of a training run of 20 steps: `... DIRECTORY EVENT STEP ...`.

For each, in a process of its own that is forked once JAX is imported, prints a line:
the steps of this sitting and the hash of the last state and of the history, or what
stopped it. Events: none, term (SIGTERM), kill (SIGKILL), full (no file can grow).
"""

import hashlib
import json
import os
import resource
import signal
import sys
import traceback

import jax
import numpy as np

from robust_jax import attacks, datasets, evaluate, train
from robust_jax.train import checkpointing, validation

RECIPE = train.Recipe(
    dataset="digits",
    model="mlp",
    model_config=(("hidden", (16,)),),
    ball=train.Ball(eps=0.05),
    attack=train.Inner(steps=2, relative_step=0.6),
    data=train.Data(batch_size=32, augment=("crop-1",)),
    descent=train.Descent(rate=1e-2),
    weights=train.Weights(ema=(0.9,), swa_from=1, keep="best"),
    watch=train.OverfittingDetector(every=0.5, images=16),
    epochs=4,
)
N = 150  # Five steps an epoch.
EVERY = 4


class Remembering(checkpointing.OrbaxCheckpointer):
    """A checkpointer that knows what it saved last."""

    def save(self, kept, *, wait):
        self.kept = jax.tree.map(np.asarray, kept._replace(progress=None))
        super().save(kept, wait=wait)


def data(split, n):
    return datasets.load("digits", split).take(np.arange(n))


def fingerprint(kept, trained):
    """Hash of every array of the state, and of the history without times."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path((kept, trained.variables)):
        total.update(str(path).encode())
        total.update(np.asarray(leaf).tobytes())
    history = {k: v for k, v in trained.history.items() if k != "seconds"}
    total.update(json.dumps([history, trained.best_epoch]).encode())
    return total.hexdigest()


def quick(norm, num_classes):
    """A short plan in place of validation's: it has robust accuracy to keep."""
    return (evaluate.Stage("pgd", attacks.pgd(2)),)


def sitting(directory, event, at):
    """Trains up to the end or the event, and says how that went."""
    validation.quick = quick
    checkpointer, steps = Remembering(directory, every=EVERY), []

    def on_step():
        steps.append(1)
        if len(steps) != at:
            return
        checkpointer.newest()  # Waits for what is being written.
        if event == "full":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        elif event != "none":
            number = {"term": signal.SIGTERM, "kill": signal.SIGKILL}[event]
            os.kill(os.getpid(), number)

    few = data("train", N), data("validation", 40)
    with checkpointing.stopping_on_signals(checkpointer):
        try:
            trained = train.fit(
                RECIPE, *few, checkpointer=checkpointer, on_step=on_step
            )
        except (train.Stopped, ValueError) as stopped:
            return str(stopped)
    return f"{len(steps)} {fingerprint(checkpointer.kept, trained)}"


def forked(directory, event, at):
    """Its exit code, after a sitting in a child, whose back end is its own."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(120)  # Nobody else would end a sitting that hangs.
    code = 1
    try:
        # No file, as a full disk has no room for it either.
        os.write(1, f"{sitting(directory, event, at)}\n".encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def main():
    arguments = iter(sys.argv[1:])
    for directory, event, at in zip(arguments, arguments, arguments, strict=True):
        code = forked(directory, event, int(at))
        if event == "kill" and code == -signal.SIGKILL:
            os.write(1, b"killed\n")
        elif code:
            sys.exit(f"{directory} {event} {at}: exit code {code}")


if __name__ == "__main__":
    main()
