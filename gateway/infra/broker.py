"""Messages into the broker, the gateway's one use of kombu. All it reads there is how long queues are."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Producer
from kombu.exceptions import KombuError
from redis import RedisError

from contracts.dispatch import JSON_ENCODING, JSON_TYPE, check_broker_url, message_body, message_headers
from gateway.infra.publications import BrokerUnavailable, Order

ANSWER_SECONDS = 5.0


class Broker:
    """One connection, opened when it is needed and again after it broke. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Raises BrokerAddressInvalid."""
        check_broker_url(url)
        self._url = url
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None

    def send(self, orders: Sequence[Order]) -> None:
        """One message for each, in this order. Raises BrokerUnavailable; then some may have been sent."""
        with self._lock, self._naming_trouble():
            producer = Producer(self._open(), auto_declare=False)
            for order in orders:
                producer.publish(
                    message_body(order.attempt_id),
                    routing_key=order.queue,
                    headers=message_headers(order.attempt_id),
                    content_type=JSON_TYPE,
                    content_encoding=JSON_ENCODING,
                )

    def lengths(self, queues: Iterable[str]) -> dict[str, int]:
        """How many messages wait in each of these queues. Raises BrokerUnavailable."""
        with self._lock, self._naming_trouble():
            client = self._open().client
            return {queue: int(client.llen(queue)) for queue in queues}

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _open(self) -> Any:
        """A channel."""
        if self._connection is None:
            options = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
            connection = Connection(self._url, connect_timeout=ANSWER_SECONDS, transport_options=options)
            self._connection = connection
            # Not `default_channel`, which tries again without end.
            self._channel = connection.channel()
        return self._channel

    @contextmanager
    def _naming_trouble(self) -> Iterator[None]:
        """Whatever the client library raises becomes BrokerUnavailable, and the connection is given up."""
        try:
            yield
        except (KombuError, RedisError, OSError) as error:
            self._drop()
            # The library's words may repeat the address, and with it a password.
            raise BrokerUnavailable(f"the broker does not answer ({type(error).__name__})") from None

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.collect(socket_timeout=ANSWER_SECONDS)
