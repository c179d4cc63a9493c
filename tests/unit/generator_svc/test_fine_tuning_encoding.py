"""Which tokens are learnt: those of the answer and the one that ends it, and no others."""

import pytest

from contracts.chats import ChatMessage
from contracts.fine_tuning import ChatSplit, TrainingChat
from generator_svc.fine_tuning.settings import complete_settings
from generator_svc.fine_tuning.trainer.encoding import IGNORED, ChatEncoder, EncodedChat, padded
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.trainer.material import read_material
from generator_svc.fine_tuning.training_chats import chat_line

END = 1

ENCODER = ChatEncoder(
    prompt_tokens=lambda turns: [ord(letter) for turn in turns for letter in turn.content],
    answer_tokens=lambda text: [ord(letter) for letter in text],
    control_tokens=frozenset({ord("#")}),
    end_of_turn=END,
)


def talk(prompt, answer, split=ChatSplit.TRAIN):
    return TrainingChat(split, (ChatMessage("user", prompt), ChatMessage("assistant", answer)))


def test_the_answer_is_learnt_with_the_token_that_ends_it():
    encoded = ENCODER.encode(talk("abc", "xy"), 6)
    assert list(encoded.tokens) == [97, 98, 99, 120, 121, END]
    assert encoded.tokens.itemsize == 4
    assert (encoded.answer_start, encoded.answer_tokens) == (3, 3)


def test_what_is_too_long_or_would_end_a_turn_is_left_out_whole():
    assert ENCODER.encode(talk("abc", "xyz"), 6) == "too_long"
    assert ENCODER.encode(talk("abc", "#y"), 6) == "control_token_in_answer"


def test_a_batch_asks_for_logits_and_learns_where_answers_are():
    first = EncodedChat((10, 11, 12, 20, END), 3)
    second = EncodedChat((13, 21, 22, END), 1)
    batch = padded([first, second], 8, filler=0)
    assert batch.tokens == [[10, 11, 12, 20, END, 0, 0, 0], [13, 21, 22, END, 0, 0, 0, 0]]
    assert (batch.first, batch.stop, batch.answer_tokens) == (0, 4, 5)
    assert batch.targets == [[IGNORED, IGNORED, 20, END], [21, 22, END, IGNORED]]


def test_the_position_before_a_token_is_where_it_is_learnt():
    chat = EncodedChat((10, 11, 12, 20, END), 3)
    batch = padded([chat], 64, filler=0)
    learnt = dict(zip(range(batch.first, batch.stop), batch.targets[0], strict=True))
    assert learnt == {2: 20, 3: END}


def material(chats, **settings):
    complete = complete_settings({"model": "m", "max_length": 64, **settings})
    return read_material(map(chat_line, chats), complete, ENCODER, context_length=40)


def test_no_more_validation_chats_than_asked_are_read_and_the_choice_is_the_seeds():
    chats = [talk("p", "a")] + [talk(f"q{n}", "b", ChatSplit.VALIDATION) for n in range(6)]
    chats.append(talk("p" * 50, "a"))
    first = material(chats, max_validation_chats=2, seed=4)
    assert (len(first.train), len(first.validation)) == (1, 2)
    assert first.counts.left_out == {"too_long": 1, "surplus_validation": 4}
    assert first.held_out == material(chats, max_validation_chats=2, seed=4).held_out
    others = [material(chats, max_validation_chats=2, seed=seed).held_out for seed in range(5, 12)]
    assert any(other != first.held_out for other in others)


def test_what_is_held_out_is_held_out_of_what_fits():
    chats = [talk(f"{n}" + "p" * 50, "a") for n in range(9)] + [talk("q", "b"), talk("r", "b")]
    for seed in range(9):
        found = material(chats, seed=seed)
        assert (found.counts.train, found.counts.validation, found.counts.left_out) == (1, 1, {"too_long": 9})


def test_of_one_prompt_alone_single_answers_are_held_out():
    found = material([talk("p", "abcd"[n:]) for n in range(4)])
    assert (found.counts.train, found.counts.validation) == (3, 1)


def test_nothing_left_to_learn_from_or_to_validate_on_has_a_name():
    long = talk("p" * 50, "a")
    for chats in ([long, talk("q", "b", ChatSplit.VALIDATION)], [talk("p", "a")]):
        with pytest.raises(TrainingFailed) as failed:
            material(chats)
        assert failed.value.failure.reason == "no_usable_pairs"
