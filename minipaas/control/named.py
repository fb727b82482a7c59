"""Which app an upload is of, as far as it was read: so that the audit of a refusal can name it.

What always holds: a name that no trusted key has signed for is told as `unverified: NAME`, and only if it is one.
"""

from __future__ import annotations

import asyncio

from minipaas.bundle.layout import Metadata
from minipaas.bundle.statement import Predicate
from minipaas.bundle.verify import claimed_app
from minipaas.model.spec import NAME


class Named:
    """Of one upload. Told by the thread that reads it, asked when that has ended."""

    def __init__(self) -> None:
        self._read: Metadata | None = None
        self._signed: Predicate | None = None

    def read(self, metadata: Metadata) -> None:
        """It is read as far as its first layer; nothing of it is believed."""
        self._read = metadata

    def signed(self, predicate: Predicate) -> None:
        """Trusted keys have signed for this."""
        self._signed, self._read = predicate, None

    async def told(self) -> tuple[str, str | None]:
        """The subject of an audit row, and the app that it is about; None where the upload does not say."""
        if self._signed is not None:
            name, subject = self._signed.app, f"{self._signed.app} {self._signed.version}"
        else:
            name = await asyncio.to_thread(claimed_app, self._read) if self._read is not None else ""
            subject = f"unverified: {name}"
        return (subject, name) if NAME.fullmatch(name) else ("a bundle", None)
