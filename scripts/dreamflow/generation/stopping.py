"""Whether this process is about to end."""

import threading

STOPPING = threading.Event()  # set on Ctrl-C: calls in flight finish, no call begins, waits for busy servers end
