"""Its Net is no torch module."""

VALUE = 1


class Net(dict):
    def __init__(self, in_shape, out_shape):
        super().__init__()
