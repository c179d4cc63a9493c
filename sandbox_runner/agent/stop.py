"""How an agent ends: first it takes nothing new on, then it gives back what still runs."""

from threading import Event


class Stop:
    """Two words, in this order, from any thread: `drain`, and later `hurry`."""

    def __init__(self) -> None:
        self.draining = Event()
        """Nothing new is taken on."""
        self.hurrying = Event()
        """What still runs is given back."""

    def ask(self) -> None:
        """What a signal does: the first asks to drain, the next to hurry."""
        if self.draining.is_set():
            self.hurrying.set()
        self.draining.set()

    def hurry(self) -> None:
        """Say both words."""
        self.draining.set()
        self.hurrying.set()
