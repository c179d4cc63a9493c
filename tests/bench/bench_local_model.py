"""How fast a local model loads and writes: alone, eight at once on one prompt, eight on prompts of their own.

All of one run, through the same process that a search uses; each way in turn, medians. Without --home the
small model of the tests is used.

    python tests/bench/bench_local_model.py [--home DELTANAS_HOME --model NAME] [--tokens N] [--rounds N]
        [--threads N]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from smollm2_model import NAME, smollm2_home

from generator_svc.language_models.local import LocalLimits, LocalModel, LocalModels
from generator_svc.language_models.port import ChatRequest, Sampling
from generator_svc.prompts import delta_prompt
from generator_svc.seeds import baseline_networks


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path)
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    models = LocalModels(arguments.home or smollm2_home(), LocalLimits(threads=arguments.threads))
    model, sampling = (
        models.model(arguments.model),
        Sampling(temperature=1.0, top_p=1.0, max_tokens=arguments.tokens),
    )
    try:
        begin = time.perf_counter()
        list(model.answers(requests(1, False, 0), Sampling(max_tokens=1)))
        print(f"{arguments.model}: first answer, of one token, after {time.perf_counter() - begin:.1f} s")
        ways = {
            "one answer": (1, False),
            "eight answers to one prompt": (8, False),
            "eight answers to eight prompts": (8, True),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(arguments.rounds):
            for name, (count, own) in ways.items():
                rate, prompt = tokens_per_second(model, requests(count, own, round_), sampling)
                rates[name].append(rate)
        print(
            f"prompts of {prompt} tokens, answers of up to {arguments.tokens}, median of {arguments.rounds}"
        )
        reference = statistics.median(rates["one answer"])
        for name, values in rates.items():
            median = statistics.median(values)
            print(f"  {name:<36}{median:8.1f} tokens/s  × {median / reference:.2f}")
    finally:
        models.close()


if __name__ == "__main__":
    main()
