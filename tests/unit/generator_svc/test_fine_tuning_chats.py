"""Only canonical deltas that answer the project's own prompts are learnt from."""

from dataclasses import replace

import pytest
from mutation_sources import LEMUR
from sample_chats import NETWORK, body, chat

from contracts.chats import ChatMessage
from contracts.fine_tuning import ChatSplit, TrainingChat
from generator_svc.deltas import canonical_delta
from generator_svc.fine_tuning.adapters import AdapterStore
from generator_svc.fine_tuning.intake import MAX_LINE_BYTES, Intake
from generator_svc.fine_tuning.training_chats import (
    ChatRefused,
    chat_line,
    check_chat,
    exactly_applied,
    read_chat_line,
    with_validation,
)
from generator_svc.prompts import delta_answer
from generator_svc.request_checks import Refused


def answered(messages, content):
    return (*messages[:-1], ChatMessage("assistant", content))


def test_a_canonical_delta_under_our_own_prompt_is_taken():
    check_chat(chat(48))
    check_chat(chat(48, source=LEMUR.replace("16", "32")))
    check_chat(chat(48, source=NETWORK.rstrip("\n")))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda delta: f"Here is the diff:\n```diff\n{delta}```",
        lambda delta: f"```diff\n{delta}```\nIt widens a layer.",
        lambda delta: f"```\n{delta}```",
        lambda delta: f"```diff\n{delta}\n```",
        lambda delta: delta,
        lambda delta: f"```diff\n{delta.replace('a/net.py', 'net.py')}```",
        lambda delta: f"```diff\n{delta.replace('@@ -', '@@ -1')}```",
        lambda delta: f"```diff\n{delta.replace('-', '- ', 3)}```",
        lambda delta: "```diff\n```",
        lambda delta: "```diff\n--- a/net.py\n+++ b/net.py\n@@ -1 +1 @@\n\\```",
        lambda delta: "",
    ],
)
def test_what_a_model_might_have_said_instead_is_refused(spoil):
    messages = chat(48)
    delta = messages[-1].content.removeprefix("```diff\n").removesuffix("```")
    with pytest.raises(ChatRefused):
        check_chat(answered(messages, spoil(delta)))


def test_an_answer_that_applies_but_is_not_canonical_is_refused():
    messages = chat(48)
    everything = "".join(f"-{line}\n" for line in NETWORK.splitlines())
    everything += "".join(f"+{line}\n" for line in NETWORK.replace("32", "48").splitlines())
    count = len(NETWORK.splitlines())
    delta = f"--- a/net.py\n+++ b/net.py\n@@ -1,{count} +1,{count} @@\n{everything}"
    assert exactly_applied(NETWORK, delta) == NETWORK.replace("32", "48")
    with pytest.raises(ChatRefused, match="canonical"):
        check_chat((*messages[:-1], delta_answer(delta)))


def test_a_delta_that_changes_layout_beside_the_code_is_refused():
    target = NETWORK.replace("32", "48").replace("\n\n\n", "\n\n\n\n")
    with pytest.raises(ChatRefused, match="blank lines"):
        check_chat((*chat(48)[:-1], delta_answer(canonical_delta(NETWORK, target))))


def test_a_delta_to_what_a_search_would_refuse_is_refused():
    target = NETWORK.replace("class Net", "class Other")
    with pytest.raises(ChatRefused, match="a search would refuse"):
        check_chat((*chat(48)[:-1], delta_answer(canonical_delta(NETWORK, target))))


def test_another_prompt_or_other_turns_are_refused():
    system, user, answer = chat(48)
    for messages in (
        (replace(system, content="You are a pirate."), user, answer),
        (system, replace(user, content="Improve this: " + user.content.split("```python")[0]), answer),
        (system, answer),
        (user, system, answer),
        (system, user, answer, user, answer),
        (),
    ):
        with pytest.raises(ChatRefused):
            check_chat(messages)


@pytest.mark.parametrize(("end", "new_end"), [("\n", "\n"), ("", "\n"), ("\n", ""), ("", "")])
def test_an_exact_delta_leads_to_its_target_whatever_ends_the_files(end, new_end):
    source, target = "a\nb\nc" + end, "a\nB\nc\nd" + new_end
    assert exactly_applied(source, canonical_delta(source, target)) == target


def test_a_chat_is_stored_in_one_spelling():
    stored = TrainingChat(ChatSplit.TRAIN, chat(48))
    assert read_chat_line(chat_line(stored)) == stored
    assert chat_line(stored).count(b"\n") == 1


def test_without_validation_chats_whole_prompts_are_held_out_by_the_seed():
    chats = [
        TrainingChat(ChatSplit.TRAIN, chat(width, dataset))
        for dataset in ("mnist", "svhn", "cifar-10", "cifar-100", "imagenette")
        for width in (40, 48)
    ]
    split = with_validation(chats, 0.2, seed=1)
    held_out = [one.messages[1].content for one in split if one.split is ChatSplit.VALIDATION]
    assert len(held_out) == 2
    assert len(set(held_out)) == 1
    assert split == with_validation(chats, 0.2, seed=1)
    assert any(with_validation(chats, 0.2, seed=seed) != split for seed in range(2, 9))
    assert with_validation(chats, 0, seed=1) == chats
    assert with_validation(split, 0.9, seed=5) == split


def taken_in(tmp_path, content, chunk=1000):
    with Intake(tmp_path / "draft", AdapterStore(tmp_path)) as intake:
        for start in range(0, len(content), chunk):
            intake.write(content[start : start + chunk])
        return intake.finish("job"), (tmp_path / "draft" / "chats.jsonl").read_bytes().splitlines(True)


def test_a_job_comes_in_however_its_bytes_are_cut(tmp_path):
    content = body({"model": "tiny"}, ("train", chat(48)), ("validation", chat(40)))
    (whole, chats), (cut, same_chats) = (taken_in(tmp_path, content, chunk) for chunk in (10**6, 7))
    assert [read_chat_line(line).split for line in chats] == ["train", "validation"]
    assert (whole.content_sha256, chats) == (cut.content_sha256, same_chats)
    assert taken_in(tmp_path, content.rstrip(b"\n"))[0].content_sha256 == whole.content_sha256
    assert not (tmp_path / "draft").exists()


def test_other_settings_or_chats_are_another_content(tmp_path):
    def content(*arguments):
        return taken_in(tmp_path, body(*arguments))[0].content_sha256

    plain = content({"model": "tiny"}, ("train", chat(48)))
    assert plain == content({"preset": "cpu", "model": "tiny", "rank": 16}, ("train", chat(48)))
    assert plain != content({"model": "tiny", "rank": 8}, ("train", chat(48)))
    assert plain != content({"model": "tiny"}, ("train", chat(40)))
    assert plain != content({"model": "tiny"}, ("train", chat(48)), ("validation", chat(40)))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"\n\n", "body"),
        (body({"model": "tiny"}), "body"),
        (body({"model": "tiny"}, ("validation", chat(48))), "body"),
        (b"[]\n", "lines.1"),
        (b"[" * 100_000 + b"\n", "lines.1"),
        (b'{"model": "tiny"}\nnonsense\n', "lines.2"),
        (b'{"model": "tiny"}\n{"split": "test", "messages": []}\n', "lines.2.split"),
        (body({"model": "tiny"}, ("train", chat(48)), ("train", chat(48)[:2])), "lines.3.messages"),
        (body({"model": "tiny", "rank": -1}), "rank"),
        (b'{"model": "tiny"}\n' + b"x" * (MAX_LINE_BYTES + 1), "lines.1"),
    ],
)
def test_a_body_that_is_no_job_is_refused_at_its_first_fault(tmp_path, content, field):
    with pytest.raises(Refused) as refused:
        taken_in(tmp_path, content, chunk=100_000)
    assert refused.value.document["field"] == field
    assert list(tmp_path.iterdir()) == []


def told(number: int, answer: str = "a", split: ChatSplit = ChatSplit.TRAIN) -> TrainingChat:
    return TrainingChat(split, (ChatMessage("user", f"prompt {number}"), ChatMessage("assistant", answer)))


def test_what_the_parent_has_learnt_judges_nothing():
    replayed = [told(number, split=ChatSplit.REPLAY) for number in range(4)]
    fresh = [told(number, "b") for number in range(3, 8)]
    for seed in range(10):
        split = with_validation([*replayed, *fresh], 0.3, seed)
        held_out = [chat for chat in split if chat.split is ChatSplit.VALIDATION]
        assert held_out
        assert {chat.messages[0].content for chat in held_out} <= {f"prompt {n}" for n in range(4, 8)}
        assert [chat.split for chat in split[:4]] == [ChatSplit.REPLAY] * 4


def test_where_every_prompt_is_known_single_answers_are_held_out():
    replayed = [told(0, split=ChatSplit.REPLAY)]
    split = with_validation([*replayed, told(0, "b"), told(0, "c"), told(0, "d")], 0.3, 1)
    assert [chat.split for chat in split].count(ChatSplit.VALIDATION) == 2
    assert [chat.split for chat in split].count(ChatSplit.TRAIN) == 1
