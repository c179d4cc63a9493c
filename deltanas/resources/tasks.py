"""Tasks of a search that an agent of one's own drives: asked for, held, answered, given back."""

from collections.abc import Iterator
from functools import partial

from deltanas.ask_tell import task_feed
from deltanas.resources.resource import LONG_POLL_SECONDS, Json, Resource, part, waiting


class TaskCalls(Resource):
    """`:ask`, `:tell`, `:heartbeat` and `:release` of a search."""

    def ask(
        self,
        search_id: str,
        tasks: int = 1,
        *,
        agent: str = "",
        lease_seconds: float | None = None,
        wait: float = 0,
        prompt: str | None = "delta",
    ) -> Json:
        """Lease up to `tasks` open slots of a search whose proposer is `external`: {"tasks", "retry_after"}.

        `wait` up to that many seconds, at most 20, for one that is free. Raises Conflict with the code
        `search_has_ended` once there is nothing more to propose. Each task has `baseline`, `edits`,
        `deployment`, `history`, `lease_expires_at`, and `prompt`: the chat that a language model would get
        to answer with a "delta" or a "source"; None leaves it out.
        """
        asked: Json = {"tasks": tasks, "agent": agent, "prompt": prompt}
        if lease_seconds is not None:
            asked["lease_seconds"] = lease_seconds
        return self._task_call(search_id, "ask", asked, wait)

    def tell(
        self,
        task: Json,
        *,
        delta: str | None = None,
        source: str | None = None,
        summary: str = "",
        wait: float = 0,
    ) -> Json:
        """Answer a task with a delta of its baseline or a whole source: {"candidate", …}.

        It is on disk then; with `wait`, up to 20 seconds later, as soon as it is judged, too. The same answer
        told again is the same; another one raises Conflict, `already_told`.
        """
        answer = {"delta": delta} if source is None else {"source": source, "delta": delta}
        told = {"task_id": task["task_id"], "summary": summary, **answer}
        return self._task_call(task["search_id"], "tell", told, wait)

    def heartbeat(self, task: Json) -> Json:
        """Hold a task for as long again. Raises Conflict when it is told, or in somebody else's hands."""
        return self._task_call(task["search_id"], "heartbeat", {"task_id": task["task_id"]})

    def release(self, task: Json) -> Json:
        """Give a task back, for others to ask for."""
        return self._task_call(task["search_id"], "release", {"task_id": task["task_id"]})

    def tasks(
        self,
        search_id: str,
        *,
        agent: str = "",
        lease_seconds: float | None = None,
        prompt: str | None = "delta",
    ) -> Iterator[Json]:
        """One task after the other until the search has ended; each is held while the loop is at it.

            for task in client.tasks(search_id):
                client.tell(task, delta=my_model(task["prompt"]["messages"]))

        Leaving the loop, by an error too, gives the task back that was not told.
        """
        return task_feed(
            partial(
                self.ask,
                search_id,
                agent=agent,
                lease_seconds=lease_seconds,
                wait=LONG_POLL_SECONDS,
                prompt=prompt,
            ),
            self.heartbeat,
            self.release,
        )

    def _task_call(self, search_id: str, verb: str, document: Json, wait: float = 0) -> Json:
        path = f"/v1/searches/{part(search_id)}:{verb}"
        return self._transport.json("POST", path, json=document, params=waiting(wait))
