"""The chats of a job as its model reads them: which are long enough to leave out, and which validate."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.fine_tuning import ChatCounts, ChatSplit, FineTuneSettings, TrainingChat
from generator_svc.fine_tuning.trainer.encoding import ChatEncoder, EncodedChat
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.training_chats import read_chat_line, with_validation
from generator_svc.prompts import PROMPT_VERSION, version_of_prompt


@dataclass(frozen=True)
class Material:
    """What is learnt from, and what is held out."""

    train: list[EncodedChat]
    validation: list[EncodedChat]
    held_out: list[TrainingChat]
    """Chats whose baselines the probe asks about."""
    counts: ChatCounts
    prompt_version: str
    """In whose words the chats ask."""


def read_material(
    lines: Iterable[bytes], settings: FineTuneSettings, encoder: ChatEncoder, context_length: int
) -> Material:
    """The chats of a job, of those that fit some held out. Raises TrainingFailed where too few are left."""
    max_length = min(settings.max_length, context_length)
    chats, encoded, left_out = list[TrainingChat](), list[EncodedChat](), Counter[str]()
    for chat in map(read_chat_line, lines):
        found = encoder.encode(chat, max_length)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            chats.append(chat)
            encoded.append(found)
    parted = list(zip(with_validation(chats, settings.validation_share, settings.seed), encoded, strict=True))
    train = [tokens for chat, tokens in parted if chat.split is not ChatSplit.VALIDATION]
    validation = [pair for pair in parted if pair[0].split is ChatSplit.VALIDATION]
    random.Random(settings.seed).shuffle(validation)  # noqa: S311 - a choice, not a secret
    surplus = len(validation) - settings.max_validation_chats
    if surplus > 0:
        left_out["surplus_validation"] = surplus
        del validation[-surplus:]
    counts = ChatCounts(len(train), len(validation), dict(left_out))
    _check(counts, max_length)
    return Material(
        train,
        [tokens for _, tokens in validation],
        [chat for chat, _ in validation],
        counts,
        version_of_prompt(chats[0].messages[:2]) or PROMPT_VERSION,
    )


def _check(counts: ChatCounts, max_length: int) -> None:
    for split, number in (("train", counts.train), ("validation", counts.validation)):
        if number == 0:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.left_out.items()))
            raise TrainingFailed(
                "no_usable_pairs",
                f"No chat is left for {split}. Left out: {reasons or 'none'}.",
                f"Send more chats, or shorter ones: at most {max_length} tokens are read of one.",
            )
