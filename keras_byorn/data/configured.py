"""Objects that Keras saves by their configuration."""


class Configured:
    """Base class: an object that is its configuration, a dict of arguments.

    Equal objects have equal configurations, and so equal representations.
    """

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        arguments = (f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({', '.join(arguments)})"
