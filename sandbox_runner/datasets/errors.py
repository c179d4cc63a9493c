"""What can be wrong with a dataset. Each error says what to do about it; none is a candidate's fault."""


class DatasetError(Exception):
    """Base of the four below. `str(error)` is one sentence for people."""


class DatasetUnknown(DatasetError):
    """No standard dataset and no user's own has this name."""


class DatasetNotReady(DatasetError):
    """The dataset is known, but its pack has not been prepared yet."""


class DatasetUnavailable(DatasetError):
    """The pack could not be made: no source gave the data, or the disk refused. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


class DatasetInvalid(DatasetError):
    """The data, a name, a pack on disk or a split asked of it breaks a rule."""
