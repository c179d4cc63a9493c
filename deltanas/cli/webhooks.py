"""`deltanas webhooks`: who is told of what happens, and what became of it."""

import time
from typing import Annotated, Any

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, complain, emit, result_console, table, tell, waiting
from deltanas.client import Client

app = typer.Typer(help="Tell other programs what happens, by signed HTTP messages.", no_args_is_help=True)

Json = dict[str, Any]
EndpointArgument = Annotated[str, typer.Argument(metavar="ID", help="An endpoint, we_…")]
DeliveryArgument = Annotated[str, typer.Argument(metavar="ID", help="A delivery, wd_…")]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="Where to post to: https://host/path.")]
EventsOption = Annotated[
    list[str] | None,
    typer.Option("--event", help="Such as search.* or evaluation.failed; repeat it. Without: all events."),
]
OverlapOption = Annotated[
    int, typer.Option(metavar="HOURS", help="So long messages are signed with the old secret, too.")
]

_TEST_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.3


@app.command()
def add(
    url: UrlArgument,
    event: EventsOption = None,
    description: Annotated[str, typer.Option(help="What it is, for people.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Register URL. Prints the secret that signs its messages: keep it, it is shown this once."""
    with connected(need_ready=False, quiet=as_json) as client:
        made = client.create_webhook_endpoint(url, event_types=event or [], description=description)
    _show_secret(made, f"{made['id']} is told of {_events(made)}", as_json)


@app.command("list")
def list_endpoints(as_json: JsonOption = False) -> None:
    """All endpoints, and whether messages go there."""
    with connected(need_ready=False, quiet=as_json) as client:
        items = client.webhook_endpoints()
    if as_json:
        emit({"items": items})
        return
    shown = table("endpoint", "url", "events", "state")
    for item in items:
        shown.add_row(cell(item["id"]), cell(item["url"]), cell(_events(item)), _state(item))
    result_console().print(shown)


@app.command()
def remove(endpoint: EndpointArgument, as_json: JsonOption = False) -> None:
    """Forget an endpoint. What was on its way there ends as failed."""
    with connected(need_ready=False, quiet=as_json) as client:
        client.remove_webhook_endpoint(endpoint)
    if as_json:
        emit({"removed": endpoint})
    else:
        tell(f"{endpoint} is removed")


@app.command()
def enable(endpoint: EndpointArgument, as_json: JsonOption = False) -> None:
    """Take up an endpoint that was disabled; `deltanas webhooks replay` sends what it has missed."""
    _switch(endpoint, True, as_json)


@app.command()
def disable(endpoint: EndpointArgument, as_json: JsonOption = False) -> None:
    """Send nothing to an endpoint until it is enabled."""
    _switch(endpoint, False, as_json)


@app.command("rotate-secret")
def rotate_secret(
    endpoint: EndpointArgument, overlap: OverlapOption = 24, as_json: JsonOption = False
) -> None:
    """Replace the secret of an endpoint. Prints the new one, this once."""
    with connected(need_ready=False, quiet=as_json) as client:
        newer = client.rotate_webhook_secret(endpoint, overlap)
    _show_secret(newer, _until(newer), as_json)


@app.command("callback-secret")
def callback_secret(overlap: OverlapOption = 24, as_json: JsonOption = False) -> None:
    """Make or replace the secret that signs messages to a `callback_url`. Prints it, this once."""
    with connected(need_ready=False, quiet=as_json) as client:
        newer = client.rotate_callback_secret(overlap)
    _show_secret(newer, _until(newer), as_json)


@app.command("test")
def send_test(endpoint: EndpointArgument, as_json: JsonOption = False) -> None:
    """Send an endpoint a message of the type webhook.test, and say what became of it."""
    with (
        connected(need_ready=False, quiet=as_json) as client,
        waiting("waiting for the receiver", as_json),
    ):
        delivery = _tried(client, client.test_webhook_endpoint(endpoint))
    if as_json:
        emit(delivery)
    elif delivery["state"] == "delivered":
        tell(f"delivered: {_last(delivery)}")
    if delivery["state"] != "delivered":
        complain(f"not delivered: {_last(delivery)}", "It is tried again; see `deltanas webhooks log`.")
        raise typer.Exit(1)


@app.command("log")
def list_deliveries(
    endpoint: Annotated[str | None, typer.Option(help="Of this endpoint alone.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="About this evaluation, search or fine-tune alone.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="So many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """What was told to whom, newest first, and what became of it."""
    chosen = {"endpoint_id": endpoint, "subject_id": subject, "state": state}
    filters = {name: value for name, value in chosen.items() if value is not None}
    with connected(need_ready=False, quiet=as_json) as client:
        page = client.webhook_deliveries(limit, **filters)
    if as_json:
        emit(page)
        return
    shown = table("delivery", "event", "about", "state", "tries", "last try", right=("tries",))
    for item in page["items"]:
        shown.add_row(
            cell(item["id"]),
            cell(item["event_type"]),
            cell(item["subject_id"] or "–"),
            cell(item["state"], _COLOURS[item["state"]]),
            str(len(item["tries"])),
            cell(_last(item)),
        )
    result_console().print(shown)


@app.command()
def show(delivery: DeliveryArgument, as_json: JsonOption = False) -> None:
    """One delivery: its message, and each of its last tries."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.webhook_delivery(delivery)
    if as_json:
        emit(found)
        return
    shown = table("", "")
    for name in ("state", "event_type", "subject_id", "endpoint_id", "url", "message_id", "next_try_at"):
        shown.add_row(name.replace("_", " "), cell(found[name] or "–"))
    shown.add_row("payload", cell(found["payload"]))
    for number, one in enumerate(found["tries"], 1):
        shown.add_row(f"try {number}", cell(f"{one['at']}: {_told(one)} {one['excerpt']}"))
    result_console().print(shown)


@app.command()
def replay(
    which: Annotated[str, typer.Argument(metavar="ID", help="A delivery, wd_…, or an endpoint, we_…")],
    since: Annotated[
        str | None, typer.Option(help="Of an endpoint: accepted from this moment on, in RFC 3339.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message again under its own id; of an endpoint, all that it did not take."""
    with connected(need_ready=False, quiet=as_json) as client:
        if which.startswith("we_"):
            replayed = client.replay_failed_webhooks(which, since)
        else:
            client.replay_webhook_delivery(which)
            replayed = 1
    if as_json:
        emit({"replayed": replayed})
    else:
        tell("1 message is sent again" if replayed == 1 else f"{replayed} messages are sent again")


_COLOURS = {"delivered": "green", "pending": "yellow", "failed": "red"}


def _switch(endpoint: str, enabled: bool, as_json: bool) -> None:
    with connected(need_ready=False, quiet=as_json) as client:
        changed = client.change_webhook_endpoint(endpoint, enabled=enabled)
    if as_json:
        emit(changed)
    else:
        tell(f"{endpoint} is {'enabled' if enabled else 'disabled'}")


def _tried(client: Client, delivery: Json) -> Json:
    """The delivery once it was tried, or as it stands after a while."""
    give_up = time.monotonic() + _TEST_SECONDS
    while not delivery["tries"] and time.monotonic() < give_up:
        time.sleep(_LOOK_AGAIN_SECONDS)
        delivery = client.webhook_delivery(delivery["id"])
    return delivery


def _show_secret(document: Json, sentence: str, as_json: bool) -> None:
    if as_json:
        emit(document)
        return
    tell(sentence)
    tell("This secret signs its messages; it is not shown again:")
    print(document["secret"])


def _until(document: Json) -> str:
    until = document["old_secret_expires_at"]
    return f"the old secret is valid until {until}" if until else "no older secret is valid"


def _events(item: Json) -> str:
    return ", ".join(item["event_types"]) or "all events"


def _state(item: Json) -> Any:
    if item["enabled"]:
        failing = item["failing_since"]
        return cell(f"failing since {failing}", "yellow") if failing else cell("enabled", "green")
    return cell(f"disabled: {item['disabled']['message']}", "red")


def _last(delivery: Json) -> str:
    return _told(delivery["tries"][-1]) if delivery["tries"] else "not tried yet"


def _told(one: Json) -> str:
    return f"{one['error']}: {one['message']}" if one["error"] else str(one["message"])
