"""Chats in the tokens of one model: the very ones that it is asked with later."""

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from contracts.chats import ChatMessage
from generator_svc.fine_tuning.trainer.encoding import ChatEncoder
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.language_models.local.weights.conversations import Conversations, TemplateRefused


def chat_encoder(tokenizer: PreTrainedTokenizerBase, alive: Callable[[], None]) -> ChatEncoder:
    """How a tokenizer writes chats. What it does raises TrainingFailed where its template takes none.

    `alive` is called for every chat: thousands of long ones take a while.
    """
    conversations = Conversations(tokenizer)

    def prompt_tokens(turns: Sequence[ChatMessage]) -> Sequence[int]:
        alive()
        try:
            return conversations.tokens([{"role": turn.role, "content": turn.content} for turn in turns])
        except (TemplateRefused, ValueError) as error:
            raise TrainingFailed(
                "model_not_loadable",
                f"The model's chat template does not take our chats: {str(error)[:200]}",
                "Choose a model that was trained on chats, an `…-Instruct`.",
            ) from error

    def answer_tokens(text: str) -> Sequence[int]:
        tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    return ChatEncoder(
        prompt_tokens, answer_tokens, frozenset(tokenizer.all_special_ids), int(tokenizer.eos_token_id)
    )
