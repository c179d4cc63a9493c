"""Conversations as the tokens that a model was trained to continue, and back."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

_SHORTEST_CONTROL = 3


class TemplateRefused(Exception):
    """The model's chat template does not take this conversation."""


class Conversations:
    """The tokenizer of one model, with its chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        controls = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._controls = sorted(
            (word for word in controls if len(word) >= _SHORTEST_CONTROL), key=len, reverse=True
        )

    def tokens(self, messages: Sequence[dict[str, str]]) -> tuple[int, ...]:
        """The conversation up to where the model begins to speak. Raises TemplateRefused.

        Messages quote texts of candidates: a control token spelled out in one must not end a turn, so it is
        broken by a space.
        """
        harmless = [{**message, "content": self._disarmed(message["content"])} for message in messages]
        try:
            text = self._rendered(harmless)
        except Exception:  # noqa: BLE001 - a template is a stranger's program: it may divide by zero, too
            try:
                text = self._rendered(_without_system(harmless))
            except Exception as error:
                raise TemplateRefused(f"{type(error).__name__}: {error}"[:300]) from error
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say, control tokens left out."""
        return str(
            self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def _rendered(self, messages: Sequence[dict[str, str]]) -> str:
        rendered: Any = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
        return str(rendered)

    def _disarmed(self, content: str) -> str:
        for control in self._controls:
            content = content.replace(control, f"{control[0]} {control[1:]}")
        return content


def _without_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The system's words at the head of the user's first: some templates know no system turn."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
