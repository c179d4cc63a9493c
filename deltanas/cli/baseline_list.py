"""How reference networks look on a terminal: as a list, and one with all that is known of it."""

from typing import Any

from deltanas.cli.output import cell, news_console, percent, result_console, table, tell

Json = dict[str, Any]


def print_list(items: list[Json], dataset: str | None) -> None:
    """A table of networks; with a dataset what was recorded on it."""
    if dataset is None:
        shown = table("name", "family", "contract", "description")
        for item in items:
            shown.add_row(
                *(cell(item.get(key) or "") for key in ("name", "family", "contract", "description"))
            )
    else:
        numbers = ("first epoch", "best", "parameters")
        shown = table("name", "family", *numbers, "usable on", right=numbers)
        for item in items:
            result = next(found for found in item["results"] if found["dataset"] == dataset)
            shown.add_row(
                cell(item["name"]),
                cell(item["family"]),
                percent(result["first_epoch_accuracy"]),
                percent(result["best_accuracy"]),
                "–" if item["parameters"] is None else f"{item['parameters']:,}",
                cell(", ".join(item["usable_on"] or ())),
            )
    result_console().print(shown)


def print_facts(baseline: Json) -> None:
    """Where a network is from, what others recorded, how it did here."""
    if baseline.get("licence"):
        tell(f"{baseline['name']}, {baseline['family']}, from {baseline['origin']}: {baseline['licence']}")
    results = baseline.get("results") or []
    smokes = {status["dataset"]: status for status in baseline.get("smoke") or []}
    if not results and not smokes:
        return
    shown = table("dataset", "first epoch", "best", "smoke run", right=("first epoch", "best"))
    recorded = {result["dataset"]: result for result in results}
    for dataset in sorted({*recorded, *smokes}):
        result, status = recorded.get(dataset, {}), smokes.get(dataset)
        shown.add_row(
            cell(dataset),
            percent(result.get("first_epoch_accuracy")),
            percent(result.get("best_accuracy")),
            cell("" if status is None else "passed" if status["passed"] else status["failure"]["reason"]),
        )
    news_console().print(shown)
