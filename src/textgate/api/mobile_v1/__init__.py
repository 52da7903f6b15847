"""The API that phones with SMS Gateway for Android call (A §3).

What is served, and where it differs from the original: docs/phones.md.
"""

from textgate.api.mobile_v1 import devices, queue, stream, sync, user
from textgate.api.operation import Group
from textgate.api.problem import DIALECT

GROUP = Group(
    "Phones",
    # At the root too, for who types the bare address of the server into the app (A §9.1).
    ("/mobile/v1", "/api/mobile/v1", ""),
    DIALECT,
    (
        *devices.OPERATIONS,
        *user.OPERATIONS,
        *queue.OPERATIONS,
        *sync.OPERATIONS,
        *stream.OPERATIONS,
    ),
)
