"""One thread that publishes attempts to the broker: as many as there are free slots, in fair order.

Of all gateways one publishes, so that two do not fill the same slots.

The database is the queue. What is in the broker can be lost, repeated or forged at any time: then nobody
claims, or a claim is refused, and what still waits is published again.
"""

import logging
import threading
from typing import TYPE_CHECKING

from contracts.dispatch import Resource
from gateway.domain.placement import any_of, slots_taken
from gateway.infra.agent_directory import SLOTS_TOPIC
from gateway.infra.attempt_offers import AttemptOffers
from gateway.infra.database import Database
from gateway.infra.evaluation_transitions import QUEUE_TOPIC
from gateway.infra.publications import BrokerUnavailable, Order, Publications, Room
from gateway.infra.training_hosts import TrainingHosts
from gateway.infra.work_leases import WorkLease, WorkLeaseLost, WorkLeases

if TYPE_CHECKING:
    from gateway.infra.broker import Broker

logger = logging.getLogger(__name__)

WORK = "dispatch"
LOOK_AGAIN_SECONDS = 1.0
"""Agents come and go, and attempts rest for a while, without a signal."""
BREATH_SECONDS = 0.02
"""Between two rounds, so that one round answers many signals."""
LONGEST_QUEUE = 1000
"""A queue with more messages than this is not read by anybody, or written by a stranger: nothing is added."""


class Dispatch:
    """Publishes from `start` to `stop`. A broker that is away is waited for."""

    def __init__(
        self,
        database: Database,
        offers: AttemptOffers,
        training: TrainingHosts,
        leases: WorkLeases,
        broker: "Broker",
        unclaimed_seconds: float,
    ) -> None:
        """What no agent claimed within `unclaimed_seconds` is published again."""
        self._database = database
        self._offers = offers
        self._leases = leases
        self._lease: WorkLease | None = None
        self._broker = broker
        self._publications = Publications(database, unclaimed_seconds)
        self._training = training
        self._unclaimed_seconds = unclaimed_seconds
        self._trouble = ""
        self._stopping = threading.Event()
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, waiting for a round in progress."""
        self._stopping.set()
        self._bell.set()
        self._thread.join(timeout=10)
        self._broker.close()

    def problems(self) -> list[str]:
        """Why attempts do not reach the broker now; empty when they do."""
        if self._lease is None:  # another gateway publishes, and this one has not tried
            try:
                self._broker.lengths([Resource.CPU.value])
            except BrokerUnavailable as error:
                return [f"broker: {error}"]
        return [f"broker: {self._trouble}"] if self._trouble else []

    def publish_round(self) -> int:
        """Publish what there is room for now. Gives how many. Raises BrokerUnavailable."""
        self._publications.tidy()
        orders = self._publications.left_behind()
        rooms = self._publications.rooms()
        queues = {queue for room in rooms.values() for queue in _queues(room)}
        lengths = self._broker.lengths(sorted(queues | self._training.queues()))
        crowded = {queue for queue, length in lengths.items() if length > LONGEST_QUEUE}
        for resource, room in rooms.items():
            if resource.value not in crowded:
                orders += self._new_orders(resource, room, crowded)
        trainings = self._training.publish(self._unclaimed_seconds, crowded)
        if orders or trainings:
            self._broker.send([*orders, *trainings])
            self._publications.mark_sent(orders)
        if crowded:
            raise BrokerUnavailable(f"nobody reads {', '.join(sorted(crowded))}, or a stranger fills it")
        return len(orders) + len(trainings)

    def _new_orders(self, resource: Resource, room: Room, crowded: set[str]) -> list[Order]:
        """Write down the next attempts, host by host, for as much room as there is."""
        orders: list[Order] = []
        left = room.free
        if left <= 0:
            return orders
        hosts = [host.capabilities for host in room.hosts]
        is_narrow = self._publications.is_all_narrow(hosts)
        for host in sorted(room.hosts, key=lambda host: (-host.free, host.agent_id)):
            own_queue = resource.queue_of(host.agent_id)
            slots = min(host.free, left)
            if slots <= 0 or own_queue in crowded:
                continue
            attempt_ids = self._offers.next_batch(
                host.capabilities, slots, self._unclaimed_seconds, host.agent_id
            )
            wanted = self._publications.requirements(attempt_ids)
            for attempt_id in filter(wanted.__contains__, attempt_ids):
                is_for_all = is_narrow and any_of(hosts, wanted[attempt_id])
                orders.append(Order(attempt_id, resource.value if is_for_all else own_queue))
                left -= slots_taken(host.capabilities, wanted[attempt_id].threads)
        if orders:
            self._publications.write_down(orders)
        return orders

    def _run(self) -> None:
        signals = self._database.signals
        with signals.subscribe(QUEUE_TOPIC, self._bell.set), signals.subscribe(SLOTS_TOPIC, self._bell.set):
            while not self._stopping.is_set():
                self._bell.clear()
                try:
                    self._publish_if_it_is_ours()
                    self._note("")
                except WorkLeaseLost:
                    self._lease = None
                except BrokerUnavailable as error:
                    self._note(str(error))
                    self._stopping.wait(LOOK_AGAIN_SECONDS)
                except Exception:
                    logger.exception("publishing failed; the next round follows")
                    self._stopping.wait(LOOK_AGAIN_SECONDS)
                self._stopping.wait(BREATH_SECONDS)
                self._bell.wait(LOOK_AGAIN_SECONDS)

    def _publish_if_it_is_ours(self) -> None:
        """One round, unless another gateway publishes. Raises WorkLeaseLost, BrokerUnavailable."""
        self._lease = self._lease or self._leases.take(WORK)
        if self._lease is not None:
            with self._lease.fencing():
                self.publish_round()

    def _note(self, trouble: str) -> None:
        """Log what changes, once."""
        if trouble != self._trouble:
            if trouble:
                logger.error("attempts wait: %s", trouble)
            else:
                logger.warning("the broker takes attempts again")
            self._trouble = trouble


def _queues(room: Room) -> set[str]:
    """The queues of this room's agents."""
    return {
        queue for host in room.hosts for queue in (host.resource.value, host.resource.queue_of(host.agent_id))
    }
