"""Keys and values of several answers that are written at once, each prompt computed only once.

A row never meets another: prompts are computed one at a time, and every row sees its own keys alone. What
rounding could still bring in is kept out, too: matrix products of two rows or more give each row the
same bits however many there are (one row alone goes another way, so it is never alone), and masked keys at
the end of a block add exactly nothing.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

_BLOCK = 64
"""Keys are shown in whole blocks, so that the length of a row's longest neighbour changes no bit."""
_GROWTH = 256
_FEWEST_ROWS = 2


class Rows(Protocol):
    """The open answers of one batch."""

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Append one token to each row; the logits (rows × vocabulary) of what follows."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        ...


def prefill(model: PreTrainedModel, prompt: Sequence[int]) -> tuple[DynamicCache, torch.Tensor]:
    """Keys and values of a prompt, and the logits (1 × vocabulary) after its last token."""
    cache = DynamicCache(config=model.config)
    given = torch.tensor([list(prompt)], device=model.device)
    output = model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache, output.logits[:, -1]


def attends_to_everything(model: PreTrainedModel) -> bool:
    """Whether every layer sees all tokens before: then prompts of unequal lengths can share a batch."""
    layers = DynamicCache(config=model.config).layers
    kinds = getattr(model.config, "layer_types", None) or ["full_attention"]
    plain = all(type(layer).__name__ == "DynamicLayer" for layer in layers)
    return plain and set(kinds) == {"full_attention"} and not getattr(model.config, "sliding_window", None)


class OnePrompt:
    """Rows that continue the same prompt, for models of any kind."""

    def __init__(self, model: PreTrainedModel, cache: DynamicCache, rows: int) -> None:
        self._model = model
        self._cache = cache
        self._rows = rows
        cache.batch_repeat_interleave(max(rows, _FEWEST_ROWS))

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """As `Rows.step`."""
        given = torch.tensor(_at_least_two(tokens), device=self._model.device).unsqueeze(-1)
        output = self._model(input_ids=given, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        return output.logits[: self._rows, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """As `Rows.keep`."""
        self._cache.batch_select_indices(torch.tensor(_at_least_two(rows), device=self._model.device))
        self._rows = len(rows)


class ManyPrompts:
    """Rows that continue prompts of any lengths, for models whose layers attend to everything."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[DynamicCache], of_row: Sequence[int]
    ) -> None:
        """`of_row` says for each row which of the prompts it continues."""
        self._model = model
        self._rows = len(of_row)
        of_row = _at_least_two(of_row)
        lengths = [prompts[number].get_seq_length() for number in of_row]
        self._places = _Places(torch.tensor(lengths, device=model.device), max(lengths))
        count = len(prompts[0].layers)
        self._layers = [
            _Layer([prompts[n].layers[layer] for n in of_row], self._places) for layer in range(count)
        ]
        self._cache = Cache(layers=list(self._layers))

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """As `Rows.step`."""
        given = torch.tensor(_at_least_two(tokens), device=self._model.device).unsqueeze(-1)
        output = self._model(
            input_ids=given,
            position_ids=self._places.next.unsqueeze(-1),
            attention_mask=self._places.mask(),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._places.advance()
        return output.logits[: self._rows, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """As `Rows.keep`."""
        self._rows = len(rows)
        kept = torch.tensor(_at_least_two(rows), device=self._model.device)
        self._places.keep(kept)
        for layer in self._layers:
            layer.keep(kept)


class _Places:
    """Where each row's next token goes. `longest` is kept beside the tensor, which may lie on a GPU."""

    def __init__(self, following: torch.Tensor, longest: int) -> None:
        self.next = following
        self._longest = longest

    @property
    def shown(self) -> int:
        """How many keys are shown to every row, in whole blocks."""
        return (self._longest // _BLOCK + 1) * _BLOCK

    def mask(self) -> torch.Tensor:
        """Which keys each row sees: its own, the one that is about to be written included."""
        numbers = torch.arange(self.shown, device=self.next.device)
        return (numbers <= self.next.unsqueeze(-1))[:, None, None, :]

    def advance(self) -> None:
        self.next = self.next + 1
        self._longest += 1

    def keep(self, rows: torch.Tensor) -> None:
        self.next = self.next[rows]
        self._longest = int(self.next.max())


class _Layer(CacheLayerMixin):
    """One layer's keys and values (rows × heads × room × size), each row filled up to its own length."""

    def __init__(self, prompts: Sequence[Any], places: _Places) -> None:
        super().__init__()
        self._places = places
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self.keys = _side_by_side([prompt.keys for prompt in prompts], places.shown + _GROWTH)
        self.values = _side_by_side([prompt.values for prompt in prompts], places.shown + _GROWTH)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write each row's new key and value behind its last; give all that is shown."""
        shown = self._places.shown
        if shown > self.keys.shape[2]:
            self.keys, self.values = (
                _side_by_side(list(part.split(1)), shown + _GROWTH) for part in (self.keys, self.values)
            )
        where = self._places.next.view(-1, 1, 1, 1)
        self.keys.scatter_(2, where.expand_as(key_states), key_states)
        self.values.scatter_(2, where.expand_as(value_states), value_states)
        return self.keys[:, :, :shown], self.values[:, :, :shown]

    def keep(self, rows: torch.Tensor) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: it begins with its prompts."""

    def get_seq_length(self) -> int:
        """Of the longest row, in whole blocks, less the token about to come."""
        return self._places.shown - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - transformers' word
        """How many keys are shown, from the first on."""
        return self._places.shown, 0

    def get_max_length(self) -> int:
        """It grows without end."""
        return -1


def _side_by_side(parts: Sequence[torch.Tensor], room: int) -> torch.Tensor:
    """Tensors (1 × heads × length × size) as the rows of one, with room for more behind each."""
    first = parts[0]
    rows = first.new_zeros((len(parts), first.shape[1], room, first.shape[3]))
    for row, part in zip(rows, parts, strict=True):
        row[:, : part.shape[2]] = part[0]
    return rows


def _at_least_two(rows: Sequence[int]) -> list[int]:
    return [*rows, *rows[:1]] if len(rows) < _FEWEST_ROWS else list(rows)
