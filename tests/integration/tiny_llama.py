"""A random Llama with a byte-pair tokenizer of its own: it loads like a real model and knows nothing."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from generator_svc.language_models.model_store import ModelManifest

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTEXT = 2048


def write_tiny_llama(
    home: Path, texts: list[str], name: str = "tiny", seed: int = 0, width: int = 48
) -> Path:
    """A model of the store under `home`, whose tokenizer has seen `texts`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = home / "models" / name
    folder.mkdir(parents=True)
    tokenizer = _tokenizer(texts)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    weights = (folder / "model.safetensors").read_bytes()
    manifest = ModelManifest(
        name=name,
        source=name,
        origin="folder",
        licence="unknown",
        architecture="LlamaForCausalLM",
        parameters=model.num_parameters(),
        context_length=CONTEXT,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        load_in_4bit=False,
        added="2026-11-22T00:00:00Z",
    )
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest)))
    return folder


def _tokenizer(texts):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|im_start|>", chat_template=TEMPLATE
    )
