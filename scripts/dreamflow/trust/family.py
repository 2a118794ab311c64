"""Trust: outcomes of all families -> posteriors of each model and context -> the routing table of the next choices."""

from ..family import Family


class TrustFamily(Family):
    """Trust in the models of a configuration."""

    name = "trust"
    goals = ("trust",)
    in_default_target = False

    def compile(self) -> None:
        """Trust plans no generations."""


FAMILY = TrustFamily
