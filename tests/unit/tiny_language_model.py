"""A language model small enough to make in a test: a random Llama with a tokenizer trained on a few lines."""

import hashlib
from pathlib import Path

from generator_svc.language_models.local.description import manifest_of
from generator_svc.language_models.model_store import ModelStore, StoredModel

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = (
    "```diff\n--- a/net.py\n+++ b/net.py\n@@ -1,3 +1,3 @@\n-        self.conv = torch.nn.Conv2d(1, 32, 3)\n"
    "+        self.conv = torch.nn.Conv2d(1, 48, 3)\n```\nclass Net(torch.nn.Module):\n"
    "    def forward(self, x):\n        return torch.relu(self.conv(x))\n"
    "Improve the network below. The answer is a unified diff of net.py.\n"
)
LAYERS, WIDTH, HEADS, CONTEXT = 2, 64, 4, 512


def write_tiny_model(folder: Path, seed: int = 0, template: str | None = TEMPLATE) -> None:
    """The folder of a model as transformers saves one."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([CORPUS], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", bos_token="<|im_start|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2,
        max_position_embeddings=CONTEXT,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def add_tiny_model(home: Path, name: str = "tiny", seed: int = 0, load_in_4bit: bool = False) -> StoredModel:
    """A tiny model in the store of `home`."""
    store = ModelStore(home)
    with store.building() as folder:
        write_tiny_model(folder, seed)
        return store.publish(folder, manifest_of(folder, name, f"tests/{name}", "folder", None, load_in_4bit))


def write_tiny_adapter(home: Path, adapter: str, base: StoredModel, seed: int = 0, rank: int = 4) -> Path:
    """LoRA weights that change what the tiny model says, as PEFT saves them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder)
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model, config)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.5)
    folder = home / "adapters" / adapter
    tuned.save_pretrained(folder)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
