"""The one context of a server that cannot change it for another: its certificate is changed in place."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable

from minipaas.certs.contexts import install, server_context
from minipaas.certs.issued import Names
from minipaas.certs.limits import LIMITS, Limits
from minipaas.certs.own import Files, OwnFiles
from minipaas.certs.pair import Pair
from minipaas.model.certificate import is_address, normal_name

Choose = Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]


class Listener:
    """Speaks for `names` (asked again at each look) with what `make` gives, or with the operator's `own` files alone.
    Clients that name a host get what `choose` chooses, unless there are own files."""

    def __init__(
        self,
        names: Callable[[], Iterable[str]],
        own: Files | None,
        make: Callable[[Names], Pair],
        choose: Choose,
        limits: Limits = LIMITS,
    ) -> None:
        self.own = OwnFiles([own] if own is not None else [], limits)
        self.own.look()
        self._asked = names
        self._make = make
        self.names = self._now()
        self.pair = self._choice()
        self.context = server_context(self.pair, tickets=False)
        if own is None:
            self.context.sni_callback = choose

    def refresh(self) -> None:
        """Speak for the names there are now, with what serves now."""
        self.names = self._now()
        pair = self._choice()
        if pair.facts.fingerprint != self.pair.facts.fingerprint:
            install(self.context, pair)
            self.pair = pair

    def _now(self) -> Names:
        """DNS names first, as certificates list them."""
        known = dict.fromkeys(name for text in self._asked() if (name := normal_name(text)) is not None)
        return tuple(sorted(known, key=is_address)) or ("localhost",)

    def _choice(self) -> Pair:
        return self.own.pairs[0] if self.own.pairs else self._make(self.names)
