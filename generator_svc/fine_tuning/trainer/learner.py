"""Losses and steps: the loss is on answers alone, and logits are computed nowhere else."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from contracts.fine_tuning import FineTuneSettings
from generator_svc.fine_tuning.batching import Batch, padded_width
from generator_svc.fine_tuning.trainer.base_model import Loaded
from generator_svc.fine_tuning.trainer.encoding import IGNORED, EncodedChat, padded
from generator_svc.fine_tuning.training_chats import digest_of


class Learner:
    """A model, its optimizer, and what both do with batches of chats."""

    def __init__(self, loaded: Loaded, settings: FineTuneSettings, alive: Callable[[], None]) -> None:
        self.model = loaded.model
        self._device = loaded.device
        self._dtype = loaded.computes_in
        self._filler = int(loaded.tokenizer.eos_token_id)
        self._settings = settings
        self._alive = alive
        self.weights = {
            name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, chats: Sequence[EncodedChat], batches: Sequence[Batch], number: int, rate: float) -> float:
        """One optimizer step on some batches, as if they were one. Gives their loss in nats per answer token.

        What dropout draws is decided by seed and `number`: a step that is done again is the same one.
        """
        torch.manual_seed(_seed(self._settings.seed, number))
        self.model.train()
        learnt = sum(chats[index].answer_tokens for batch in batches for index in batch)
        total = 0.0
        for batch in batches:
            loss = self._summed_loss([chats[index] for index in batch]) / learnt
            loss.backward()
            total += float(loss.detach())
            self._alive()
        if self._settings.max_gradient_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.weights.values(), self._settings.max_gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    @torch.no_grad()
    def loss(self, chats: Sequence[EncodedChat], batches: Sequence[Batch]) -> float:
        """Nats per answer token over all batches, without learning."""
        self.model.eval()
        total = 0.0
        for batch in batches:
            total += float(self._summed_loss([chats[index] for index in batch]))
            self._alive()
        return total / sum(chats[index].answer_tokens for batch in batches for index in batch)

    def _summed_loss(self, chats: Sequence[EncodedChat]) -> torch.Tensor:
        batch = padded(chats, padded_width([len(chat.tokens) for chat in chats]), self._filler)
        tokens = torch.tensor(batch.tokens, device=self._device)
        targets = torch.tensor(batch.targets, device=self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            logits = self.model(
                input_ids=tokens,
                logits_to_keep=torch.arange(batch.first, batch.stop, device=self._device),
            ).logits
        return functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )


def _seed(seed: int, step: int) -> int:
    return int(digest_of([f"dropout {seed} {step}".encode()])[:15], 16)
