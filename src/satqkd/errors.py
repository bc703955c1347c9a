"""The error tree, one exit code per family.

    Error
     +- ConfigError                a setting: key path, value, what is allowed            exit 2
     +- DataFormatError            a file or record: where, what was expected             exit 2
     +- ResourceError              the machine: a port, a folder, a missing part          exit 2
     +- NoPassError                no pass fits what was asked                            exit 2
     +- LinkError                  the peer or the link went away                         exit 4
     +- ProtocolError
     |   +- LocalProtocolError     our own bug: event and state                           exit 4
     |   +- RemoteProtocolError    the peer broke the protocol; the session ends          exit 4
     |       +- AuthenticationError    a tag differs; the key it used counts as spent     exit 3
     +- KeyStoreError                                                                     exit 3
         +- KeyNotFound (exit 2)   KeyExhausted   KeyAlreadyUsed   OriginRefused   StoreRestored

A message says what was expected, what came, where, and what to do. A pass that yields no key
(too noisy, too few detections, link lost early) is no error: it is an outcome with its counts.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class Error(Exception):
    """Anything satqkd raises on purpose. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        if not message:
            raise ValueError("an error needs a message")
        super().__init__(message)


class ConfigError(Error):
    """A setting is unknown, missing or out of range."""


class DataFormatError(Error):
    """A file or a record is not what its format says."""


class ResourceError(Error):
    """The machine cannot give what is needed: a port in use, a folder that cannot be written."""


class NoPassError(Error):
    """No pass of the satellite over the station fits what was asked."""


class LinkError(Error):
    """The peer or the link went away before the work was done."""

    exit_code = 4


class ProtocolError(Error):
    """The conversation of two nodes went wrong."""

    exit_code = 4


class LocalProtocolError(ProtocolError):
    """This side was asked for something its state does not allow: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what its state does not allow. The session ends."""


class AuthenticationError(RemoteProtocolError):
    """A tag differs from what the shared key demands. In a session, the key it used counts as spent."""

    exit_code = 3


class ForgedMessage(AuthenticationError):  # noqa: N818
    """A message whose code on line does not fit, or before which one is missing that was replaced on its way;
    nothing was done with it: it may be said again."""


class KeyStoreError(Error):
    """The key store refuses."""

    exit_code = 3


class KeyNotFound(KeyStoreError):  # noqa: N818 - these three are states of a key, named as the field does
    """No key, peer or record of this name."""

    exit_code = 2


class KeyExhausted(KeyStoreError):  # noqa: N818
    """Fewer unused key bits than asked for."""


class KeyAlreadyUsed(KeyStoreError):  # noqa: N818
    """These key bits were given out before. They are never given out again."""


class StoreRestored(KeyStoreError):  # noqa: N818
    """The store or its use log was put back from a copy: key that was used might be given out again."""


class OriginRefused(KeyStoreError):  # noqa: N818
    """Key from the digital twin or from recorded tags is not secret; its use needs `--demo`."""


def nearest(name: str, known: Iterable[str]) -> str:
    """For the end of a message about an unknown name: `did you mean x?`, or nothing where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""
