"""The valid rate before and after: answers are sampled on held-out baselines and tried as deltas."""

from collections.abc import Callable, Sequence

import torch

from contracts.fine_tuning import TrainingChat, ValidRateProbe
from generator_svc.deltas import apply_delta
from generator_svc.fine_tuning.trainer.base_model import Loaded
from generator_svc.fine_tuning.trainer.encoding import ChatEncoder
from generator_svc.prompts import baseline_of_prompt

AT_ONCE = 4
"""Answers to one prompt that are sampled together."""


@torch.no_grad()
def valid_rate(
    loaded: Loaded,
    encoder: ChatEncoder,
    chats: Sequence[TrainingChat],
    probe: ValidRateProbe,
    seed: int,
    alive: Callable[[], None],
) -> float:
    """The share of sampled answers that apply, in [0, 1]; as many to each baseline, as far as it goes."""
    model, device = loaded.model, loaded.device
    model.eval()
    torch.manual_seed(seed)
    valid = sampled = 0
    while sampled < probe.samples:
        chat = chats[sampled // AT_ONCE % len(chats)]
        prompt = list(encoder.prompt_tokens(chat.messages[:-1]))
        wanted = min(AT_ONCE, probe.samples - sampled)
        with torch.autocast(device.type, torch.bfloat16, enabled=loaded.computes_in is torch.bfloat16):
            answers = model.generate(
                input_ids=torch.tensor([prompt], device=device),
                attention_mask=torch.ones((1, len(prompt)), dtype=torch.long, device=device),
                num_return_sequences=wanted,
                do_sample=probe.temperature > 0,
                **_drawn(probe),
                max_new_tokens=probe.max_tokens,
                eos_token_id=encoder.end_of_turn,
                pad_token_id=encoder.end_of_turn,
                use_cache=True,
            )
        baseline = baseline_of_prompt(chat.messages[:-1]) or ""
        for answer in answers[:, len(prompt) :]:
            text = str(loaded.tokenizer.decode(answer, skip_special_tokens=True))
            valid += apply_delta(baseline, text).status == "applied"
        sampled += wanted
        alive()
    return valid / sampled


def _drawn(probe: ValidRateProbe) -> dict[str, float]:
    if probe.temperature == 0:
        return {}
    return {"temperature": probe.temperature, "top_p": probe.top_p, "top_k": probe.top_k}
