"""Whether whoever asked for answers still waits for them.

An iterator cannot be closed while another thread waits for its next item, which of a model may take minutes.
So the route puts an event into the context in which the items are made, and sets it when its caller is gone;
who waits for a model looks at it now and then.
"""

import threading
from contextvars import ContextVar

LOOK_SECONDS = 0.5
"""How often whoever waits for a model should look."""

_STAYS = threading.Event()

ASKER_LEFT: ContextVar[threading.Event] = ContextVar("asker_left", default=_STAYS)
"""Set once nobody waits any more. The default is never set."""
