"""Which groups of tasks are learned from and which are only measured on: known before anything is asked."""

from collections.abc import Iterable

from ..errors import ConfigError
from ..files import sha256


def split_groups(groups: Iterable[str], validation: float, held_out: float, seed: int) -> dict[str, str]:
    """The side (train, validation or held_out) of each group "<kind>.<skill>.<template>".

    In each kind, `held_out` and `validation` are the shares of its groups on these sides, at least one group each.
    Groups stand in an order drawn by the seed, those of a skill side by side, and are taken at equal distances, so
    that skills are spread over the sides. A side depends on the seed and on the groups of the kind: more tasks move
    no group, more groups may move others of their kind. A `ConfigError` names a kind of fewer than 3 groups.
    """
    kinds: dict[str, list[str]] = {}
    for group in groups:
        kinds.setdefault(group.split(".")[0], []).append(group)
    sides: dict[str, str] = {}
    for kind, members in sorted(kinds.items()):
        members.sort(key=lambda group: (sha256(f"{seed}:{group.rsplit('.', 1)[0]}"), sha256(f"{seed}:{group}")))
        counts = [max(1, round(share * len(members))) for share in (held_out, validation)]
        if sum(counts) >= len(members):
            raise ConfigError(
                f"kind {kind}: its {len(members)} group(s) of tasks cannot be split into train, validation "
                f"({validation:g}) and held-out ({held_out:g}); at least 3 are needed: add groups, lower these shares, "
                "or leave its tasks out"
            )
        for side, count in zip(("held_out", "validation"), counts, strict=True):
            rest = [group for group in members if group not in sides]
            sides |= {rest[int((place + 0.5) * len(rest) / count)]: side for place in range(count)}
        sides |= {group: "train" for group in members if group not in sides}
    return sides
