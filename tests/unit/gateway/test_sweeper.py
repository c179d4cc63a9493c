"""Who sweeps takes silent agents for lost, unless it was itself that could not hear them."""

import time

from fresh_databases import url_in
from processes import until

from gateway.infra.attempt_queue import AttemptQueue
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.sweeper import BLIND_INTERVALS, Sweeper
from gateway.infra.work_leases import WorkLeases

INTERVAL = 0.05


def test_after_an_outage_agents_are_given_time_to_be_heard_before_anything_is_taken_away(
    tmp_path, monkeypatch
):
    database = Database(url_in(tmp_path))
    queue, done, is_away = AttemptQueue(database, 60), [], False

    def noted(name):
        act = getattr(queue, name)

        def note():
            if is_away:
                raise StorageUnavailable("away")
            act()
            done.append(name)

        monkeypatch.setattr(queue, name, note)

    noted("sweep")
    noted("extend_leases")
    sweeper = Sweeper(database, queue, WorkLeases(database, 60, "here"), INTERVAL)
    sweeper.start()
    until(lambda: "sweep" in done, 10, lambda: str(done))
    is_away = True
    time.sleep(4 * BLIND_INTERVALS * INTERVAL)
    done.clear()
    is_away = False
    until(lambda: "sweep" in done, 10, lambda: str(done))
    sweeper.stop()
    database.close()
    assert done[0] == "extend_leases"
