"""Searches over HTTP: how tests start, read and finish one."""

from fakes import FakeFarm
from search_scene import Scene as LoopScene

GOOD = {"dataset": "digits", "cycles": 1, "candidates_per_cycle": 3, "final_seeds": 2, "seed": 3}


def start(scene, **fields) -> dict:
    answer = scene.http.post("/v1/searches", json={**GOOD, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()


def get(scene, search: dict, what: str = "", **query) -> dict:
    answer = scene.http.get(f"/v1/searches/{search['id']}{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish(scene, search: dict) -> dict:
    """What conductor and agents do, in this thread."""
    services = scene.services
    loop = LoopScene(services.database, search["id"], scene.generator, scene.filter)
    run = loop.run()
    while not run.advance():
        assert FakeFarm(services.database).work() > 0
    return get(scene, search)


def raising(error):
    """What takes the place of a call that fails."""

    def ask(_asked):
        raise error

    return ask
