"""A steady value from an instrument that is sometimes busy and sometimes wrong."""

import logging
import socket
import statistics
import time

log = logging.getLogger("lab.instrument")


def query(address: str, command: str, timeout: float) -> str:
    """The instrument's answer to a command, one line of text; OSError when it does not come in time."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port or 5025)), timeout=timeout) as connection:
        connection.sendall(command.encode("ascii") + b"\n")
        return connection.makefile("r", encoding="ascii").readline()


def read_instrument(
    address: str, samples: int = 3, attempts: int = 4, delay: float = 0.5, tolerance: float = 2.0, timeout: float = 1.5
) -> dict:
    """The median of `samples` readings, each tried up to `attempts` times with growing pauses (seconds).

    Returns {value, used, outliers}; outliers are further than `tolerance` from the median. Raises TimeoutError when
    a reading fails to the end, and ValueError when fewer than half of the readings agree.
    """
    values = []
    for number in range(1, samples + 1):
        for attempt in range(attempts):
            try:
                answer = query(address, "MEAS:TEMP?", timeout=timeout)
                values.append(float(answer.removesuffix(" C")))
                break
            except (OSError, ValueError) as error:
                log.warning("%s, sample %d: %s", address, number, error)
                # the last failure is not waited for
                if attempt + 1 < attempts:
                    time.sleep(min(8.0, delay * 2**attempt))
        else:
            raise TimeoutError(f"{address}: no reading {number} after {attempts} attempts")
    middle = statistics.median(values)
    good = [value for value in values if abs(value - middle) <= tolerance]
    if len(good) * 2 < len(values):
        raise ValueError(f"{address}: the readings disagree: {sorted(values)}")
    return {"value": round(statistics.fmean(good), 3), "used": len(good), "outliers": len(values) - len(good)}
