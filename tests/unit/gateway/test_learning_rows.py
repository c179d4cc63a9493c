"""The report's table of what a model learnt."""

from gateway.dashboard.learning import learning_rows

RESULT = {"adopted": True, "reason": "It fell.", "validation_loss_before": 1.0, "validation_loss_after": 0.5}


def cycle(number: int, adapter: str | None = None, **job) -> dict:
    usual = {"id": f"ft_{number}", "state": "succeeded", "result": None, "failure": None, "chats": None}
    return {"cycle": number, "adapter": adapter, "fine_tune": {**usual, **job} if job else None}


def test_each_cycle_tells_what_it_proposed_with_and_what_was_learnt_then():
    counts = {"elite": 3, "replayed": 2, "left_out": {"too_long": 9}, "measured": {"train": 4}}
    rows = learning_rows(
        [
            cycle(2, "ft_1", result=RESULT | {"adopted": False, "reason": "It rose."}),
            cycle(0),
            cycle(1, result=RESULT, chats=counts),
            cycle(3, "ft_1", state="failed", failure={"reason": "out_of_memory", "message": "More."}),
            cycle(4, "ft_1"),
        ]
    )
    assert [row.cycle for row in rows] == [1, 2, 3, 4]
    assert [row.adapter for row in rows] == ["", "ft_1", "ft_1", "ft_1"]
    assert (rows[0].chats, rows[0].loss_before, rows[0].loss_after) == (5, 1.0, 0.5)
    assert [row.outcome for row in rows] == [
        "ft_1: adopted. It fell.",
        "ft_2: rolled back. It rose.",
        "ft_3: failed, out of memory. More.",
        "nothing was learnt",
    ]


def test_a_search_without_adapters_has_no_such_table():
    assert learning_rows([cycle(0), cycle(1)]) == []
