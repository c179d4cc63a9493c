"""A made-up search in the shapes of the HTTP API, for the pages that show one."""
# ruff: noqa: E501

import random

SEARCH_ID = "se_0193a7c2f4b81d0e"
BASELINES = (
    ("residual", 0.861), ("vgg-small", 0.852), ("depthwise-separable", 0.823), ("inception-small", 0.848),
    ("plain-cnn", 0.836), ("lemur-residual", 0.857), ("conv-mixer", 0.815), ("patch-transformer", 0.771),
)  # fmt: skip
SUMMARIES = (
    "widen stem 24 → 32", "relu → silu in blocks", "insert residual block after stage 2", "kernel 3 → 5 in conv1",
    "dropout 0.2 → 0.1 in head", "batch norm → group norm", "max pool → strided conv", "hidden 128 → 192 in head",
)  # fmt: skip
DELTA = """--- a/net.py
+++ b/net.py
@@ -12,7 +12,8 @@
     def __init__(self, in_shape, out_shape):
         super().__init__()
-        self.stem = nn.Conv2d(in_shape[1], 24, 3, padding=1)
+        self.stem = nn.Conv2d(in_shape[1], 32, 3, padding=1)
+        self.norm = nn.BatchNorm2d(32)
         self.pool = nn.MaxPool2d(2)
"""
FATES = ("judged", "judged", "judged", "judged", "judged", "failed", "duplicate", "refused")
FAILURES = {
    "failed": {"reason": "train_error", "code": "", "message": "RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x800 and 1568x128)"},
    "refused": {"reason": "delta_rejected", "code": "hunk_unplaceable", "message": "hunk 1: line 14 of the baseline reads otherwise"},
}  # fmt: skip


LAYERS, SCOPES = ("jaccard", "structure", "exact"), ("search", "corpus", "parent", "tenant")
DIFFERENCE = [
    "@@ -14 +14 @@",
    "-        self.stem = nn.Conv2d(1, 31, 3)",
    "+        self.stem = nn.Conv2d(1, 32, 3)",
]


def likeness(nearest, layer="jaccard", scope="search", penalty=0.0):
    return {
        "scope": scope, "layer": layer, "similarity": 0.953 if layer == "jaccard" else 1.0, "name": nearest["name"],
        "proposal_id": None if scope == "corpus" else nearest["proposal_id"], "penalty": penalty,
    }  # fmt: skip


def proposal_id(cycle, slot):
    return f"{SEARCH_ID}-c{cycle:03d}-s{slot:03d}"


def candidate(cycle, slot, *, state="judged", accuracy=None, parent=None, summary="", name=None, **fields):
    scored = accuracy is not None
    return {
        "proposal_id": proposal_id(cycle, slot), "candidate_id": "0" * 64, "cycle": cycle, "slot": slot,
        "state": state, "parent": parent and {"proposal_id": parent["proposal_id"], "name": parent["name"]},
        "name": name or f"c{cycle:03d}-s{slot:03d}", "summary": summary, "delta": DELTA if parent else None,
        "accuracy": accuracy, "accuracy_standard_error": 0.0049 if scored else None, "audit_accuracy": None,
        "cpu_seconds": 14.2 + slot if scored else None, "peak_memory_bytes": 512 * 2**20 if scored else None,
        "claimed_parameters": 120_000 if scored else None, "failure": FAILURES.get(state),
        "duplicate_of": None, "likeness": None, "selection_score": accuracy, "elite": False,
        "difference": DIFFERENCE if fields.get("likeness") else None, "evaluation_id": "ev_1", **fields,
    }  # fmt: skip


def sample_candidates(cycles=3, slots=8, seed=1):
    draw = random.Random(seed)
    everyone = [candidate(0, slot, accuracy=score, name=name) for slot, (name, score) in enumerate(BASELINES)]
    for cycle in range(1, cycles + 1):
        elites = sorted((c for c in everyone if c["accuracy"]), key=lambda c: -c["accuracy"])[:6]
        for slot in range(slots):
            state, parent = draw.choice(FATES), draw.choice(elites)
            score = min(parent["accuracy"] + draw.gauss(0.001, 0.012), 0.93) if state == "judged" else None
            summary = draw.choice(SUMMARIES)
            copies = state == "duplicate" or (state == "judged" and slot == 5)
            like = likeness(parent, LAYERS[slot % 3], SCOPES[slot % 4]) if copies else None
            everyone.append(
                candidate(
                    cycle, slot, state=state, accuracy=score, parent=parent, summary=summary, likeness=like
                )
            )
    best = sorted((c for c in everyone if c["accuracy"]), key=lambda c: -c["accuracy"])[:8]
    for elite in best:
        elite["elite"] = True
    return everyone


def sample_funnel(candidates):
    states = [c["state"] for c in candidates if c["cycle"] > 0]
    applied = len(states) - states.count("refused")
    novel = applied - states.count("duplicate")
    elite = sum(c["elite"] for c in candidates if c["cycle"] > 0)
    return {"proposed": len(states), "applied": applied, "novel": novel, "ran": states.count("judged"), "elite": elite, "lost": 0, "skipped": 0}  # fmt: skip


def sample_cycles(candidates):
    def cycle(number):
        own = [c for c in candidates if c["cycle"] == number]
        scores = [c["accuracy"] for c in own if c["accuracy"] is not None]
        funnel = {
            "proposed": len(own),
            "applied": len(own),
            "novel": len(own),
            "ran": len(scores),
            "elite": 0,
        }
        return {
            "cycle": number, "state": "finished", "funnel": funnel, "failures": {},
            "best_accuracy": max(scores, default=None),
            "mean_accuracy": sum(scores) / len(scores) if scores else None,
            "diversity": {
                "sources": len(own), "new": len(own) - 1, "unique_source_rate": 1 - 1 / len(own),
                "traced": 4 * (number % 2), "unique_graph_rate": 0.75 if number % 2 else None,
                "compared": len(own), "mean_distance": 0.412, "token_entropy": 4.8,
            },
        }  # fmt: skip

    return [cycle(number) for number in sorted({c["cycle"] for c in candidates})]


def sample_final(winner, baseline, gains=(0.011, 0.004, 0.007), interval=(-0.0015, 0.0161)):
    pairs = [
        {"seed": 101 + n, "winner_accuracy": 0.86 + gain, "baseline_accuracy": 0.86}
        for n, gain in enumerate(gains)
    ]
    return {
        "winner": {**winner, "audit_accuracy": 0.871}, "baseline": {**baseline, "audit_accuracy": 0.861},
        "per_seed": pairs, "mean_gain": sum(gains) / len(gains), "gain_interval": interval and list(interval),
        "confidence": 0.95, "scored_on": "sealed_half",
        "note": "The interval contains zero: on these seeds the difference is not distinguishable from none.",
    }  # fmt: skip


def sample_search(candidates, state="succeeded", **fields):
    proposed = [c for c in candidates if c["cycle"] > 0 and c["accuracy"] is not None]
    best = max(proposed, key=lambda c: c["accuracy"], default=None)
    total = len(candidates)
    return {
        "id": SEARCH_ID, "name": "demo", "state": state,
        "request": {
            "name": "demo", "dataset": "fashion-mnist", "cycles": 3, "candidates_per_cycle": 8, "seed": 0,
            "proposer": {"kind": "mutation", "options": {}}, "epochs": 1, "train_images": 10_000, "threads": 1,
            "device": "cpu", "integrity": "standard", "minimum_tier": "namespaces",
            "novelty": {"scopes": ["search", "corpus"], "policy": "penalise", "threshold": 0.9, "penalty": 0.05},
        },
        "progress": {"cycle": 3, "cycles": 3, "slots_done": total, "slots_total": total, "waiting_for": None},
        "funnel": sample_funnel(candidates), "best": best,
        "final": sample_final(best, candidates[0]) if state == "succeeded" and best else None, "failure": None,
        "created_at": "2026-01-02T03:04:05.123456Z", "started_at": "2026-01-02T03:04:06.000000Z",
        "finished_at": "2026-01-02T03:09:18.500000Z" if state == "succeeded" else None, **fields,
    }  # fmt: skip


EVALUATION = {
    "provenance": {"dataset_hash": "c7f3" * 16, "environment_digest": "9ab1" * 16, "seed": 1234, "runner_version": "0.1.0"},
    "isolation": {"tier": "namespaces"},
}  # fmt: skip
