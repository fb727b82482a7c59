"""The names of tuf and securesystemslib that this room uses, in one place. Import it inside functions only: it takes
about 70 ms, and most commands and an idle box do without.
"""

from __future__ import annotations

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import (  # type: ignore[attr-defined] # the package re-exports them without saying so
    CryptoSigner,
    Key,
    Signature,
    SSlibKey,
)
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined] # likewise
from tuf.api.serialization import DeserializationError

__all__ = [
    "CryptoSigner",
    "DeserializationError",
    "Envelope",
    "Key",
    "Metadata",
    "RepositoryError",
    "Root",
    "SSlibKey",
    "Signature",
    "UnverifiedSignatureError",
]
