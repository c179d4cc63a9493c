"""How fast a local model loads and writes, and in how much memory: alone, eight at once on one prompt, eight
on prompts of their own.

All of one run, through the same processes that a search uses; each way in turn, medians. Without --home the
small model of the tests is used. Several models, such as one and itself in 4 bits, are loaded side by side
and asked in turn, and told as ratios to the first.

    python tests/bench/bench_local_model.py [--home DELTANAS_HOME --model NAME ...] [--tokens N] [--rounds N]
        [--threads N]
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from smollm2_model import NAME, smollm2_home

from generator_svc.language_models.local import LocalLimits, LocalModel, LocalModels
from generator_svc.language_models.local.memory import resident_memory
from generator_svc.language_models.port import ChatRequest, Sampling
from generator_svc.prompts import delta_prompt
from generator_svc.seeds import baseline_networks

WAYS = {
    "one answer": (1, False),
    "eight answers to one prompt": (8, False),
    "eight answers to eight prompts": (8, True),
}
SECONDS = 3600.0
"""For one call: a slow machine is to be measured, and not given up."""


def requests(count: int, own_prompts: bool, round_: int) -> list[ChatRequest]:
    """Requests for a delta against a shipped baseline; with `own_prompts` each tells another accuracy."""
    source = next(iter(baseline_networks().values())).source
    return [
        ChatRequest(
            key,
            delta_prompt(source, "fashion-mnist", 0.5 + (key if own_prompts else 0) / 100),
            100 * round_ + key,
        )
        for key in range(count)
    ]


def tokens_per_second(model: LocalModel, asked: list[ChatRequest], sampling: Sampling) -> tuple[float, int]:
    """Of all answers together, the prompts' time included; and the tokens of one prompt."""
    begin = time.perf_counter()
    answers = list(model.answers(asked, sampling))
    seconds = time.perf_counter() - begin
    return sum(answer.completion_tokens or 0 for answer in answers) / seconds, answers[0].prompt_tokens or 0


def children() -> set[int]:
    """The processes that this one has started, from whichever thread."""
    listed = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return {int(child) for some in listed for child in some}


def load(name: str, model: LocalModel) -> None:
    """Have a model answer for the first time, and tell what that took."""
    before, begin = children(), time.perf_counter()
    (first,) = model.answers(requests(1, False, 0), Sampling(max_tokens=1))
    seconds = time.perf_counter() - begin
    held = max((resident_memory(pid) for pid in children() - before), default=0) / 2**20
    numbers = first.weights.dtype if first.weights else "?"
    print(
        f"{name} ({numbers}): first answer, of one token, after {seconds:.1f} s; {held:.0f} MiB", flush=True
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    home, names = arguments.home or smollm2_home(), arguments.model or [NAME]
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=arguments.tokens)
    limits = LocalLimits(threads=arguments.threads, call_seconds=SECONDS, idle_seconds=SECONDS)
    with ExitStack() as stack:
        models = {}
        for name in names:
            served = stack.enter_context(closing(LocalModels(home, limits)))
            models[name] = served.model(name)
            load(name, models[name])
        rates: dict[tuple[str, str], list[float]] = {(name, way): [] for name in names for way in WAYS}
        for round_ in range(arguments.rounds):
            for (name, way), measured in rates.items():
                rate, prompt = tokens_per_second(models[name], requests(*WAYS[way], round_), sampling)
                measured.append(rate)
    print(f"prompts of {prompt} tokens, answers of up to {arguments.tokens}, median of {arguments.rounds}")
    for (name, way), measured in rates.items():
        median = statistics.median(measured)
        alone, first = (statistics.median(rates[of]) for of in ((name, "one answer"), (names[0], way)))
        print(
            f"  {name:<20}{way:<34}{median:8.1f} tokens/s  × {median / alone:.2f} of one answer, "
            f"× {median / first:.2f} of {names[0]}"
        )


if __name__ == "__main__":
    main()
