"""A gateway with a finished search, and its fine-tuning jobs brought on step by step."""

from dataclasses import dataclass
from functools import cached_property

import search_scene
from gateway_scene import Scene

from gateway.infra.fine_tune_journal import FineTuneJournal
from gateway.loop.fine_tune_chats import FineTuneChats
from gateway.loop.fine_tune_driver import Follower, Submitter


@dataclass
class FineTuneScene:
    """What the conductor does, when a test says so."""

    gateway: Scene
    stopping: bool = False
    lends: bool = False

    @cached_property
    def search_id(self) -> str:
        """A search that has ended."""
        database = self.gateway.services.database
        search_id = search_scene.accept(database, search_scene.request())
        search_scene.Scene(database, search_id, self.gateway.generator).finish()
        return search_id

    @property
    def journal(self) -> FineTuneJournal:
        return FineTuneJournal(self.gateway.services.database)

    def hand_in(self) -> None:
        services = self.gateway.services
        chats = FineTuneChats(
            self.journal,
            services.baselines,
            services.filter,
            services.generator,
            services.pair_makings,
            services.settings.home,
        )
        Submitter(
            self.journal, services.fine_tuning, chats, lambda: self.stopping, lends=self.lends
        ).advance()

    def follow(self) -> None:
        services = self.gateway.services
        Follower(
            self.journal, services.fine_tuning, services.fine_tune_attempts, services.training_hosts
        ).advance()

    def ask(self, headers: dict | None = None, **fields):
        body = {"model": "tiny", "search_id": self.search_id, **fields}
        return self.gateway.http.post("/v1/fine-tunes", json=body, headers=headers)

    def start(self, **fields) -> str:
        """Ask for a job; gives its id."""
        answer = self.ask(**fields)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def read(self, job_id: str) -> dict:
        answer = self.gateway.http.get(f"/v1/fine-tunes/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finish(self, adopted: bool = True, **fields) -> str:
        """A job with an adapter."""
        job_id = self.start(**fields)
        self.hand_in()
        self.gateway.fine_tuner.train(job_id)
        self.gateway.fine_tuner.succeed(job_id, adopted)
        self.follow()
        return job_id
