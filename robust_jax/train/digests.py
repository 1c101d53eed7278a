"""The digests of a checkpoint's files, which tell whether one is damaged (host)."""

import hashlib
import os
import pathlib

ITEMS = ("arrays", "progress")
SUMS = "SHA256SUMS"  # `sha256sum -c 500/SHA256SUMS` looks at them, too.


def sums_of(checkpoint: pathlib.Path, step: int) -> bytes:
    """SHA-256 of the files of a checkpoint, which is that of a step.

    Raises: OSError: a file is there and cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    lines = []
    for item in filter(lambda item: (checkpoint / item).is_dir(), ITEMS):
        for top, _, names in os.walk(checkpoint / item, onerror=refuse):
            for path in (pathlib.Path(top, name) for name in names):
                with path.open("rb") as file:
                    total = hashlib.file_digest(file, "sha256").hexdigest()
                within = path.relative_to(checkpoint).as_posix()
                lines.append(f"{total}  {step}/{within}\n")
    return "".join(sorted(lines)).encode()
