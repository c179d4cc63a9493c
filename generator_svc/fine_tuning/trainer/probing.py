"""The valid rate before and after: answers are sampled on held-out baselines and tried as deltas."""

from collections.abc import Callable, Sequence

import torch

from contracts.fine_tuning import TrainingChat, ValidRateProbe
from generator_svc.deltas import apply_delta
from generator_svc.fine_tuning.trainer.base_model import Loaded
from generator_svc.fine_tuning.trainer.encoding import ChatEncoder
from generator_svc.fine_tuning.training_chats import digest_of
from generator_svc.language_models.local.weights.conversations import Conversations
from generator_svc.language_models.local.weights.decoding import Bounds, Task, Writer
from generator_svc.language_models.local.weights.loading import end_tokens
from generator_svc.language_models.local.weights.sampling import Choice
from generator_svc.language_models.port import MAX_ANSWER_BYTES
from generator_svc.prompts import baseline_of_prompt

AT_ONCE = 4
"""Answers to one prompt that are sampled together."""


def valid_rate(
    loaded: Loaded,
    encoder: ChatEncoder,
    chats: Sequence[TrainingChat],
    probe: ValidRateProbe,
    seed: int,
    context_length: int,
    alive: Callable[[], None],
) -> float:
    """The share of sampled answers that apply, in [0, 1]; as many to each baseline, as far as it goes.

    They are written as a proposer's answers are. `alive` is called for every token.
    """

    def over() -> bool:
        alive()
        return False

    loaded.model.eval()
    ends = end_tokens(loaded.base, loaded.tokenizer)
    writer = Writer(loaded.base, Conversations(loaded.tokenizer).text, ends)
    choice = Choice(probe.temperature, probe.top_p, probe.top_k or None)
    bounds = Bounds(probe.max_tokens, MAX_ANSWER_BYTES, context_length, over)
    valid = 0
    for first in range(0, probe.samples, AT_ONCE):
        chat = chats[first // AT_ONCE % len(chats)]
        prompt = tuple(encoder.prompt_tokens(chat.messages[:-1]))
        numbers = range(first, min(first + AT_ONCE, probe.samples))
        tasks = [Task(number, prompt, _seed(seed, number)) for number in numbers]
        with torch.autocast(loaded.device.type, torch.bfloat16, enabled=loaded.computes_in is torch.bfloat16):
            answers = [written.text for written in writer.write(tasks, choice, bounds)]
        baseline = baseline_of_prompt(chat.messages[:-1]) or ""
        valid += sum(apply_delta(baseline, answer).status == "applied" for answer in answers)
    return valid / probe.samples


def _seed(seed: int, number: int) -> int:
    return int(digest_of([f"probe {seed} {number}".encode()])[:15], 16)
