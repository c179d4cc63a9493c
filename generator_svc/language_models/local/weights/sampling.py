"""Draws the next token of each row from its logits and its own random numbers alone."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Choice:
    """How tokens are drawn. Temperature 0 takes the likeliest."""

    temperature: float
    top_p: float
    top_k: int | None


def draw(logits: torch.Tensor, choice: Choice, generators: list[torch.Generator]) -> list[int]:
    """One token for each row of `logits` (rows × vocabulary).

    The probabilities are summed in double precision, and each row takes one number of its own generator, on
    the CPU: so a row's token depends on nothing in the rows beside it, and hardly on rounding.
    """
    if choice.temperature <= 0:
        return logits.argmax(dim=-1).tolist()
    size = logits.shape[-1]
    values, tokens = torch.topk(logits.float(), min(choice.top_k or size, size), dim=-1)
    mass = torch.softmax(values.double() / choice.temperature, dim=-1).cumsum(dim=-1)
    # The likeliest tokens that reach top_p together, the one that reaches it included.
    kept = (mass < choice.top_p).sum(dim=-1, keepdim=True).clamp(max=mass.shape[-1] - 1)
    drawn = [torch.rand((), generator=generator, dtype=torch.float64) for generator in generators]
    numbers = torch.stack(drawn).unsqueeze(-1).to(mass.device)
    places = torch.searchsorted(mass, numbers * mass.gather(-1, kept), right=True)
    return tokens.gather(-1, torch.minimum(places, kept)).squeeze(-1).tolist()
