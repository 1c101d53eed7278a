"""Libraries that few users have: imported where they are needed, or a sentence."""

import importlib
from types import ModuleType


def needed(name: str, extra: str, what: str) -> ModuleType:
    """A module of an optional library.

    Args:
        name: of the module, such as "onnx".
        extra: the extra of setup.cfg that installs it.
        what: what needs it, such as "interop.from_onnx".
    Raises: ImportError: it is not installed, or cannot be imported, and why.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:  # Whatever a broken installation raises.
        package = name.partition(".")[0]
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == package
        reason = " ".join(str(error).split())
        state = "is not installed" if is_missing else f"cannot be imported ({reason})"
        raise ImportError(
            f"{what} needs {package}, which {state}; run pip install "
            f"'robust-jax[{extra}]'"
        ) from error
