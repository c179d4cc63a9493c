"""How training pairs look in JSON: lines of a stream, and lines of the files that are made of it.

A file has the pair of each line, written as `written_line` does: so its SHA-256 can be told before it exists.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from gateway.domain.training_pairs import MadePair, PairKind, PairSettings, RecordedNetwork, Split
from gateway.loop.training_pairs import MakingEvent, MakingProgress, MakingReport

Document = dict[str, Any]


class PairLines:
    """Renders the events of one making, and keeps the digests of what was rendered."""

    def __init__(self, settings: PairSettings) -> None:
        self._settings = settings
        self._digests = {split: hashlib.sha256() for split in Split}

    def render(self, event: MakingEvent) -> bytes:
        """An event as a line of the stream; nothing where nothing is new."""
        if event is None:
            return b""
        if isinstance(event, MakingProgress):
            return _line({"progress": asdict(event)})
        if isinstance(event, MakingReport):
            return _line({"summary": self._summary(event)})
        document = _pair_document(event, self._settings.dataset)
        self._digests[event.split].update(written_line(document))
        return _line({"pair": document})

    def _summary(self, report: MakingReport) -> Document:
        counts = report.counts
        return {
            "settings": asdict(self._settings),
            "catalogue_sha256": report.catalogue_sha256,
            "packages": report.wheels,
            "prompt_versions": sorted(counts.prompt_versions),
            "networks": {
                "recorded": counts.networks,
                "copies": counts.copies,
                "not_comparable": counts.not_comparable,
            },
            "families": _by_split(report.families),
            "near_pairs": counts.near_pairs,
            "pairs": {
                split.value: {kind.value: counts.made[split, kind] for kind in PairKind} for split in Split
            },
            "left_out": {kind.value: _sorted(counts.left_out[kind]) for kind in PairKind},
            "delta_lines": {
                split.value: {str(lines): pairs for lines, pairs in sorted(counts.delta_lines[split].items())}
                for split in Split
            },
            "sha256": {split.value: digest.hexdigest() for split, digest in self._digests.items()},
        }


def written_line(document: Document) -> bytes:
    """A pair as a line of a file: ASCII JSON without spaces, in the order of its fields."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def failed_line(problem: Document) -> bytes:
    """The last line of a stream that is not whole."""
    return _line({"failed": problem})


_line = written_line


def _pair_document(pair: MadePair, dataset: str) -> Document:
    return {
        "split": pair.split.value,
        "kind": pair.kind.value,
        "messages": [{"role": turn.role, "content": turn.content} for turn in pair.chat.messages],
        "metadata": {
            "dataset": dataset,
            "baseline": _end(pair.baseline),
            "target": None if pair.target is None else _end(pair.target),
            "gain": None if pair.target is None else round(pair.target.accuracy - pair.baseline.accuracy, 12),
            "jaccard": pair.jaccard,
            "summary": pair.chat.summary,
            "delta_lines": pair.chat.delta_lines,
            "changed_lines": pair.chat.changed_lines,
            "prompt_version": pair.chat.prompt_version,
        },
    }


def _end(network: RecordedNetwork) -> Document:
    return {
        "name": network.name,
        "family": network.family,
        "candidate_id": network.candidate_id,
        "first_epoch_accuracy": network.accuracy,
        "hyperparameters": json.loads(network.hyperparameters),
        "licence": network.licence,
    }


def _by_split(numbers: dict[Split, int]) -> dict[str, int]:
    return {split.value: numbers[split] for split in Split}


def _sorted(reasons: dict[str, int]) -> dict[str, int]:
    """The most frequent first; counts of nothing do not appear."""
    return dict(sorted(((r, n) for r, n in reasons.items() if n), key=lambda found: (-found[1], found[0])))
