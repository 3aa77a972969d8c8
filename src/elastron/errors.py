"""Every error Elastron raises on purpose.

ElastronError
├── ProtocolError          the peer sent bytes or messages it must not send
│   ├── LimitError         a length, count or size above its limit
│   └── StateError         a legal message at the wrong time
├── ConfigError            a reconstruction config that cannot be understood or built
├── HeaderError            an MRD header that cannot be read
├── DataError              samples, counters or files that contradict their header
├── ReconstructionError    a gadget failed; carries the gadget's name
├── RemoteError            the other side reported an error of its own
├── StorageError           the storage server refused, or holds something unusable
│   └── StorageUnavailableError   it did not answer; a later try may succeed
├── ConnectionLostError    the peer went away in the middle
├── ConnectError           the peer could not be reached
├── CapacityError          the node or gateway is full or draining
│   ├── QueueFullError     the gateway's queue takes no more scans
│   ├── QueueTimeoutError  no node became free within the time a scan may wait
│   └── JournalFullError   the gateway has no room to keep more of a scan
├── CloudError             a cloud refused something; carries its code
│   ├── LoginError         nobody is logged in there, or the login has ended
│   ├── NotAllowedError    who is logged in may not do it, or a policy forbids it
│   ├── QuotaError         it is more than the subscription may have
│   ├── NotOfferedError    the region has no such size, version or zone, or none left
│   ├── NameTakenError     somebody else has the name
│   └── CloudBusyError     not now; a later try may succeed
└── DeadlineError          the peer was silent, or the work lasted, longer than allowed

Messages say what went wrong, where, and what to do. They never hold patient data.
"""

from __future__ import annotations


class ElastronError(Exception):
    """Base of all errors raised on purpose."""


class ProtocolError(ElastronError):
    """The peer broke the Gadgetron protocol."""


class LimitError(ProtocolError):
    """A length, count or size on the wire is above its limit."""


class StateError(ProtocolError):
    """A message came in a state that does not allow it."""


class ConfigError(ElastronError):
    """A reconstruction config cannot be understood or built."""


class HeaderError(ElastronError):
    """An MRD header cannot be read."""


class DataError(ElastronError):
    """Samples, counters or files contradict their header."""


class ReconstructionError(ElastronError):
    """A gadget failed.

    Attributes:
        gadget: the failing gadget's name in the config.
    """

    def __init__(self, message: str, *, gadget: str = "") -> None:
        super().__init__(message)
        self.gadget = gadget


class RemoteError(ElastronError):
    """The other side reported an error of its own."""


class StorageError(ElastronError):
    """The storage server refused, or holds something unusable."""


class StorageUnavailableError(StorageError):
    """The storage server did not answer; a later try may succeed."""


class ConnectionLostError(ElastronError):
    """The peer went away in the middle of a session."""


class ConnectError(ElastronError):
    """The peer could not be reached."""


class CapacityError(ElastronError):
    """The node or gateway is full or draining."""


class QueueFullError(CapacityError):
    """The gateway's queue takes no more scans."""


class QueueTimeoutError(CapacityError):
    """No node became free within the time a scan may wait."""


class JournalFullError(CapacityError):
    """The gateway has no room to keep more of a scan."""


class DeadlineError(ElastronError):
    """The peer was silent, or the work lasted, longer than allowed."""


class CloudError(ElastronError):
    """A cloud refused something.

    Attributes:
        code: the cloud's own word for it, such as SkuNotAvailable; empty: it gave none.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class LoginError(CloudError):
    """Nobody is logged in to the cloud, or the login has ended."""


class NotAllowedError(CloudError):
    """Who is logged in to the cloud may not do it, or a policy forbids it."""


class QuotaError(CloudError):
    """It is more than the subscription may have."""


class NotOfferedError(CloudError):
    """The region has no such size, version or zone, or none left."""


class NameTakenError(CloudError):
    """Somebody else has the name."""


class CloudBusyError(CloudError):
    """Not now; a later try may succeed."""
