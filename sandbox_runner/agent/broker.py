"""The Celery worker of an agent, and the only place here that knows a broker.

A message is an attempt's name and decides nothing: the gateway grants the claim or refuses it. So all that
Celery could do beyond is off. One task is registered; a message that is not, byte for byte, the one that may
be sent is dropped before Celery acts on it; nothing is unpickled, stored, revoked, scheduled, chained,
answered or controlled from afar. The pool is one of threads: each only waits for the runner and the gateway,
and a process of its own would cost memory and die in ways of its own.
"""

import logging
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any

from celery import Celery
from celery.worker import WorkController, state
from celery.worker.consumer import Consumer
from kombu import Queue
from kombu.transport import virtual

from contracts.dispatch import TASK, MessageRefused, Resource, named_attempt
from contracts.measurements import LIMIT_RANGES
from sandbox_runner.agent.links import Rejected, Unreachable
from sandbox_runner.agent.slot import ClaimRunner

logger = logging.getLogger(__name__)

VISIBILITY_SECONDS = int(LIMIT_RANGES["wall_seconds"][1]) + 7200
"""Redis delivers again what was not acknowledged for so long: longer than any sandbox runs. A fine-tune may
take longer; then its message comes again, its claim is refused, and it is dropped."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""The broker answers within this, or the connection counts as lost. Longer than any of its waits."""
PAUSE_SECONDS = 1.0
CLAIM_TRIES = 5
"""For a gateway that does not answer. It publishes again what nobody claimed."""

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What Celery's transport raises on entries of the broker that it did not write itself."""

_OPTIONS = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "result_backend": "disabled://",
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "task_create_missing_queues": False,
    "task_send_sent_event": False,
    "worker_prefetch_multiplier": 1,
    "worker_enable_prefetch_count_reduction": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_disable_rate_limits": True,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
}


class BrokerIntake:
    """Takes attempts' names out of the queues of one resource until `draining` is set."""

    def __init__(
        self, url: str, resource: Resource, agent_id: str, slots: int, errands: ClaimRunner, draining: Event
    ) -> None:
        self._url = url
        self._queues = (resource.value, resource.queue_of(agent_id))
        self._agent_id = agent_id
        self._slots = slots
        self._errands = errands
        self._draining = draining
        self._thread = Thread(target=self._work, name="broker", daemon=True)

    def start(self) -> None:
        """Begin. A broker that is away is waited for."""
        self._thread.start()
        Thread(target=self._end_with_draining, name="broker-end", daemon=True).start()

    def join(self, seconds: float) -> None:
        """Wait, at most so long, until nothing is brought any more."""
        self._thread.join(seconds)

    def _end_with_draining(self) -> None:
        self._draining.wait()
        state.should_stop = 0  # no more messages; the worker ends when its threads have

    def _work(self) -> None:
        """One worker after another: whatever ends one, the next begins anew."""
        while not self._draining.is_set():
            worker = WorkController(
                app=one_task_app(self._url, self._queues, self._run),
                pool_cls="threads",
                concurrency=self._slots,
                hostname=f"agent@{self._agent_id}",
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            worker.start()
            self._draining.wait(PAUSE_SECONDS)

    def _run(self, attempt_id: str) -> None:
        """What the one task does. Raises nothing: to the broker every message has been dealt with."""
        for _ in range(CLAIM_TRIES):
            if self._draining.is_set():
                return
            try:
                if not self._errands.run(attempt_id):
                    logger.info("attempt %s: the claim was refused", attempt_id)
                return
            except Unreachable as error:
                logger.warning("%s", error)
                self._draining.wait(PAUSE_SECONDS)
            except Rejected as error:
                logger.error("attempt %s: refused with %s: %s", attempt_id, error.status, error)
                return
            except Exception:
                logger.exception("attempt %s: the slot goes on after an unexpected error", attempt_id)
                return


def one_task_app(url: str, queues: tuple[str, ...], run: Callable[[str], None]) -> Celery:
    """A Celery application with one task, and none of Celery's own."""
    app = Celery("deltanas-agent", broker=url, set_as_current=False, autofinalize=False)
    app.conf.update(_OPTIONS)
    app.conf.task_queues = [Queue(name, routing_key=name) for name in queues]
    app.conf.worker_consumer = StrictConsumer
    app.finalize()
    for name in tuple(app.tasks):
        app.tasks.unregister(name)
    app.task(run, name=TASK, shared=False)
    app.set_default()  # the threads of the pool look there
    return app


class StrictConsumer(Consumer):
    """Lets Celery see the messages alone that name one attempt and say nothing else."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # An entry that cannot be read is gone by then: connecting anew goes on behind it. Otherwise it would
        # end the worker.
        self.connection_errors: tuple[type[Exception], ...] = (
            *self.conninfo.connection_errors,
            *_UNREADABLE,
        )

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Celery's own handler behind a door."""
        handle = super().create_task_handler(*args, **options)

        def handle_if_it_names_an_attempt(message: Any) -> None:
            try:
                named_attempt(message.headers, message.body, message.content_type, message.content_encoding)
            except MessageRefused as refused:
                logger.warning("a message in the broker was dropped: %s", refused)
                _acknowledge(message, logger, self.connection_errors)
                return
            message.ack_log_error = partial(_acknowledge, message)
            handle(message)

        return handle_if_it_names_an_attempt


def _acknowledge(message: Any, log: logging.Logger, errors: tuple[type[Exception], ...]) -> None:
    """Acknowledge a message; where the broker does not hear it, the message's slot is free all the same.

    kombu goes on counting such a message as one that is at work here. With as many of them as there are
    slots it would never ask for another one, and not even see that its connection is gone.
    """
    try:
        message.ack()
    except errors as error:
        log.warning("a message could not be acknowledged, and may come again: %s", type(error).__name__)
        virtual.QoS.ack(message.channel.qos, message.delivery_tag)
