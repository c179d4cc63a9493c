"""What can hold a local model up, each with the remedy: the sentences that a search's log will show."""

from collections.abc import Sequence

from contracts.proposals import ProposerBlocked
from generator_svc.held_up import HeldUp

_MOST_NAMED = 8
_GIB = 1024**3
_WAIT_SECONDS = 60.0


def model_unknown(name: str, known: Sequence[str]) -> HeldUp:
    """No such model was added."""
    there = f"There are: {', '.join(known[:_MOST_NAMED])}." if known else "None has been added yet."
    return _held_up(
        "model_unknown",
        f"No local model is named {name[:80]!r}. {there}",
        "Add it with `deltanas models add` on the server's machine, or use one of `deltanas models list`.",
    )


def model_not_loadable(name: str, why: str) -> HeldUp:
    """It was added, and cannot be used."""
    return _held_up(
        "model_not_loadable",
        f"The local model {name} cannot be loaded: {why}",
        f"Add it anew: `deltanas models remove {name}`, then `deltanas models add`.",
    )


def library_missing(name: str, library: str, extra: str) -> HeldUp:
    """What runs it is not installed."""
    return _held_up(
        "model_not_loadable",
        f"The local model {name} needs {library}, which is not installed.",
        f"Install it where the server runs: `pip install {extra}`.",
    )


def never_enough_memory(name: str, needed: int, whole: int) -> HeldUp:
    """It would not fit even if nothing else ran."""
    return _held_up(
        "out_of_memory",
        f"The local model {name} needs about {_gib(needed)} of memory, and may have {_gib(whole)}.",
        "Use a smaller model, a machine with more memory, or raise DELTANAS_LOCAL_MODEL_MEMORY_BYTES.",
    )


def no_memory_now(name: str, needed: int, free: int, claimed: int = 0) -> HeldUp:
    """It would fit if less else ran. `claimed`: bytes of the free ones that a fine-tune is about to take."""
    kept = f", of which a fine-tune is about to take {_gib(claimed)}" if claimed else ""
    return _held_up(
        "out_of_memory",
        f"The local model {name} needs about {_gib(needed)} of memory; {_gib(free)} are free now{kept}.",
        "It is tried again. Run fewer evaluations beside it, or use a smaller model.",
        _WAIT_SECONDS,
    )


def memory_ran_out(name: str, why: str) -> HeldUp:
    """It began, and grew too large."""
    return _held_up(
        "out_of_memory",
        f"The local model {name} ran out of memory: {why}",
        "Lower max_tokens, use a smaller model, or raise DELTANAS_LOCAL_MODEL_MEMORY_BYTES.",
    )


def killed_for_memory(name: str) -> HeldUp:
    """The kernel ended its process when the machine, or the container, had no memory left for anybody."""
    return _held_up(
        "out_of_memory",
        f"The kernel killed the process of the local model {name} (signal 9), most likely for memory: it had "
        "just ended a process because memory ran out.",
        "It is started anew. Run fewer evaluations beside it, lower max_tokens, or use a smaller model.",
        _WAIT_SECONDS,
    )


def adapter_unknown(why: str) -> HeldUp:
    """No such adapter."""
    return _held_up(
        "adapter_unknown", why, "Name an adapter that the server lists, or none, to ask the model as it came."
    )


def adapter_mismatch(adapter: str, model: str, why: str) -> HeldUp:
    """The adapter is another model's."""
    return _held_up(
        "adapter_mismatch",
        f"The adapter {adapter[:80]!r} does not fit the local model {model}: {why}",
        "Use the model that the adapter was trained on, or another adapter.",
    )


def model_failed(name: str, why: str) -> HeldUp:
    """Its process ended or spoke nonsense. Started anew, it may well work."""
    return _held_up(
        "model_failed",
        f"The local model {name} failed: {why}",
        "It is started anew. If this goes on, look at the end of logs/generator.log in DELTANAS_HOME.",
        5.0,
    )


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"


def _held_up(code: str, message: str, remedy: str, retry_after_seconds: float | None = None) -> HeldUp:
    """Retryable where waiting may help, and only there."""
    retryable = retry_after_seconds is not None
    return HeldUp(ProposerBlocked(code, message, remedy, retryable, retry_after_seconds))
