"""All families, in planning order. Importing this module registers their parsers."""

from .chunks.family import Chunks
from .cohorts.family import Cohorts
from .distill.family import Distill
from .dreams.family import Dreams
from .probe.family import Probe

FAMILIES = (Cohorts, Dreams, Chunks, Probe, Distill)
