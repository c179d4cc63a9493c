"""The chats of a job as its model reads them: which are long enough to leave out, and which validate."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.fine_tuning import ChatCounts, ChatSplit, FineTuneSettings, TrainingChat
from generator_svc.fine_tuning.trainer.encoding import ChatEncoder, EncodedChat
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.training_chats import read_chat_line, with_validation


@dataclass(frozen=True)
class Material:
    """What is learnt from, and what is held out."""

    train: list[EncodedChat]
    validation: list[EncodedChat]
    held_out: list[TrainingChat]
    """Chats whose baselines the probe asks about."""
    counts: ChatCounts


def read_material(
    lines: Iterable[bytes], settings: FineTuneSettings, encoder: ChatEncoder, context_length: int
) -> Material:
    """The chats of a job. Raises TrainingFailed where too few are left."""
    chats = with_validation(
        [read_chat_line(line) for line in lines], settings.validation_share, settings.seed
    )
    max_length = min(settings.max_length, context_length)
    train, left_out = encoder.encode(_of(chats, ChatSplit.TRAIN), max_length)
    held_out, validation, more_left_out = [], list[EncodedChat](), Counter[str]()
    for chat in _drawn(_of(chats, ChatSplit.VALIDATION), settings.seed):
        if len(validation) == settings.max_validation_chats:
            more_left_out["surplus_validation"] += 1
            continue
        encoded, reasons = encoder.encode([chat], max_length)
        validation += encoded
        held_out += [chat] * len(encoded)
        more_left_out += reasons
    counts = ChatCounts(len(train), len(validation), dict(left_out + more_left_out))
    _check(counts, max_length)
    return Material(train, validation, held_out, counts)


def _of(chats: Iterable[TrainingChat], split: ChatSplit) -> list[TrainingChat]:
    return [chat for chat in chats if chat.split is split]


def _drawn(chats: list[TrainingChat], seed: int) -> list[TrainingChat]:
    random.Random(seed).shuffle(chats)  # noqa: S311 - a choice, not a secret
    return chats


def _check(counts: ChatCounts, max_length: int) -> None:
    for split, number in (("train", counts.train), ("validation", counts.validation)):
        if number == 0:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.left_out.items()))
            raise TrainingFailed(
                "no_usable_pairs",
                f"No chat is left for {split}. Left out: {reasons or 'none'}.",
                f"Send more chats, or shorter ones: at most {max_length} tokens are read of one.",
            )
