"""When a shared instrument is free."""


def to_minutes(clock: str) -> int:
    """Minutes since midnight of 'HH:MM'; ValueError for what is no time of day (24:00 is one)."""
    hours, _, minutes = clock.partition(":")
    total = int(hours) * 60 + int(minutes)
    if not 0 <= int(minutes) < 60 or not 0 <= total <= 24 * 60:
        raise ValueError(f"not a time of day: {clock}")
    return total


def to_clock(minutes: int) -> str:
    """'HH:MM' of minutes since midnight."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def schedule_windows(
    bookings: list[list[str]], opens: str = "08:00", closes: str = "18:00", min_minutes: int = 30, cleaning: int = 10
) -> dict:
    """Free windows of a day between bookings [from, to], each followed by `cleaning` minutes.

    Windows shorter than `min_minutes` are not offered. Returns {windows, free_minutes, conflicts}; conflicts are
    bookings that begin before the one before them has ended. Raises ValueError for times that make no sense.
    """
    windows = []
    conflicts = []
    free = 0
    start = to_minutes(opens)
    end = to_minutes(closes)
    if start >= end:
        raise ValueError(f"opens at {opens}, after it closes at {closes}")
    busy_until = start
    occupied_until = 0
    for booking in sorted(bookings, key=lambda pair: to_minutes(pair[0])):
        begin, finish = to_minutes(booking[0]), to_minutes(booking[1])
        if begin >= finish:
            raise ValueError(f"a booking from {booking[0]} to {booking[1]}")
        if begin < occupied_until:
            conflicts.append(booking)
        gap = min(begin, end) - busy_until
        if gap >= min_minutes:
            windows.append([to_clock(busy_until), to_clock(busy_until + gap)])
            free += gap
        occupied_until = max(occupied_until, finish)
        busy_until = max(busy_until, finish + cleaning)
    if end - busy_until >= min_minutes:
        windows.append([to_clock(busy_until), to_clock(end)])
        free += end - busy_until
    return {"windows": windows, "free_minutes": free, "conflicts": conflicts}
