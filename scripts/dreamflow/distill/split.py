"""Split groups of tasks into train, validation and held_out; the splits are known before any answer."""

from collections.abc import Iterable

from ..errors import ConfigError
from ..files import sha256


def split_groups(groups: Iterable[str], validation: float, held_out: float, seed: int) -> dict[str, str]:
    """Return the split (train, validation or held_out) of each group "<kind>.<skill>.<template>".

    `held_out` and `validation` are shares of the groups of each kind, at least one group each. The seed orders the
    groups, skill by skill; groups are taken at equal distances, which spreads skills over the splits. More tasks move
    no group; more groups may move others of their kind. Raises a `ConfigError` for a kind with too few groups.
    """
    kinds: dict[str, list[str]] = {}
    for group in groups:
        kinds.setdefault(group.split(".")[0], []).append(group)
    splits: dict[str, str] = {}
    for kind, members in sorted(kinds.items()):
        members.sort(key=lambda group: (sha256(f"{seed}:{group.rsplit('.', 1)[0]}"), sha256(f"{seed}:{group}")))
        counts = [max(1, round(share * len(members))) for share in (held_out, validation)]
        if sum(counts) >= len(members):
            raise ConfigError(
                f"kind {kind}: its {len(members)} group(s) of tasks cannot be split into train, validation "
                f"({validation:g}) and held-out ({held_out:g}); at least 3 are needed: add groups, lower these shares, "
                "or leave its tasks out"
            )
        for split, count in zip(("held_out", "validation"), counts, strict=True):
            rest = [group for group in members if group not in splits]
            splits |= {rest[int((place + 0.5) * len(rest) / count)]: split for place in range(count)}
        splits |= {group: "train" for group in members if group not in splits}
    return splits
