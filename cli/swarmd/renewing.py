"""Keeps this node's certificate in date, and what the managers say that it is to be (README.md)."""

import asyncio
import datetime
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Never

from common.backoff import delays
from common.bell import Bell
from common.clock import Clock
from common.errors import SwarmdError, SystemFailureError, UnavailableError
from common.model.node import Role, TlsInfo
from common.pki.files import Credentials
from common.pki.renewal import CertificateFacts, must_renew, renew_at
from common.pki.tls import Tls
from common.protocol.messages import NodeTold

LOOK_SECONDS: Final = 60.0
"""How often it is looked whether the certificate is due: the machine's clock may jump."""
AGAIN_SECONDS: Final = 0.5
AGAIN_SECONDS_MAX: Final = 60.0
"""Waits after an attempt that did not bring the certificate that is wanted."""

log = logging.getLogger("swarmd.node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What a manager gives for a certificate request; PEM."""

    certificate: bytes
    trust: bytes


Ask = Callable[[bytes], Awaitable[Renewed]]
"""Has a certificate made for the key of a request (PEM)."""


class Renewing:
    """This node's certificate, for as long as the node is in a swarm: ``run`` renews it.

    It is renewed when the larger part of its life is over, and at once when the managers tell of another role or
    issuer. Roots that the managers tell take the place of those before, as long as the certificate is of one of them.
    """

    def __init__(
        self,
        tls: Tls,
        asked: Ask,
        clock: Clock,
        chance: random.Random,
        *,
        keeps_role: Callable[[], bool],
    ) -> None:
        """Where ``keeps_role``, the node stays what its certificate says, whatever else the managers tell.

        Raises:
            SystemFailureError: the certificate is damaged.
        """
        self._tls, self._ask, self._keeps_role = tls, asked, keeps_role
        self._clock, self._chance = clock, chance
        self._told: NodeTold | None = None
        self._bell = Bell(clock)
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is another certificate or another root, or when the managers tell of another role."""
        self.on_root_dropped: Callable[[], None] = lambda: None
        """Called when a root is trusted no more, which connections that stand were made with."""
        self._read()

    def _read(self) -> None:
        from common.pki.certificate import facts_of, tls_info_of  # noqa: PLC0415 - slow to load

        kept = self._tls.files.open()
        if kept is None:
            raise SystemFailureError("this node's certificate is gone")
        self._root = kept.root
        self.facts: CertificateFacts = facts_of(kept.certificate, kept.root)
        self.trust: TlsInfo = tls_info_of(kept.certificate, kept.root)
        """As the node describes itself."""
        self._renew_at = renew_at(self.facts, self._chance.random())

    # ------------------------------------------------------------------------ how it stands

    def hear(self, told: NodeTold) -> None:
        """A manager that leads has said what this node's certificate is to be, and whom it is to trust."""
        if told != self._told:
            self._told = told
            self._bell.ring()
            self.on_change()

    @property
    def told_role(self) -> Role | None:
        """What the managers want this node to be; None: they have not said it yet."""
        return self._told.role if self._told is not None else None

    def is_in_date(self) -> bool:
        """Whether other nodes may believe this one, by this machine's clock."""
        return self.facts.not_before <= self._clock.now() < self.facts.not_after

    def trouble(self) -> str:
        """Why no other node believes this one any more; "" while they do."""
        if self._clock.now() < self.facts.not_after:
            return ""
        day = datetime.datetime.fromtimestamp(self.facts.not_after, datetime.UTC)
        return f"this node's certificate ran out on {day:%Y-%m-%d at %H:%M:%S} UTC"

    # ------------------------------------------------------------------------ its life

    async def run(self) -> Never:
        """Renews it again and again, until cancelled."""
        waits: Iterator[float] | None = None
        while True:
            try:
                await self._look()
            except (SwarmdError, OSError) as error:
                waits = waits or delays(AGAIN_SECONDS, AGAIN_SECONDS_MAX, self._chance)
                log.warning(
                    "this node's certificate is not what it is to be", extra={"reason": error}
                )
                await self._bell.wait(next(waits))
            else:
                waits = None
                await self._bell.wait(LOOK_SECONDS)

    async def _look(self) -> None:
        if self._is_wanted_otherwise() or self._is_due():
            await self._renew()
            if self._is_wanted_otherwise():
                raise UnavailableError("the manager that signed it has not heard of the change yet")
        told = self._told
        if told is not None and told.trust and told.trust != self._root:
            self._take_roots(told.trust)

    def _is_due(self) -> bool:
        """Whether it is time, or the certificate begins later: this node has made it itself, by a clock that was ahead.

        One that others have made begins later by this machine's clock where that is behind: another would, too.
        """
        now = self._clock.now()
        return now >= self._renew_at or (self._keeps_role() and now < self.facts.not_before)

    def _is_wanted_otherwise(self) -> bool:
        told = self._told
        if told is not None and self._keeps_role():
            told = replace(told, role=self.facts.role)
        return must_renew(self.facts, told, self._clock.now())

    async def _renew(self) -> None:
        from common.pki.authority import new_request, requested_key  # noqa: PLC0415 - slow to load
        from common.pki.certificate import facts_of, public_key_in  # noqa: PLC0415

        key, request = await asyncio.to_thread(new_request)
        renewed = await self._ask(request)
        facts = facts_of(renewed.certificate, renewed.trust)
        if (facts.node_id, facts.cluster_id) != (self.facts.node_id, self.facts.cluster_id):
            raise SystemFailureError("a manager has made the certificate of another node")
        if public_key_in(renewed.certificate) != requested_key(request):
            raise SystemFailureError("a manager has made a certificate for another key")
        self._tls.files.write(
            Credentials(root=renewed.trust, certificate=renewed.certificate, key=key)
        )
        log.info(
            "this node has a new certificate",
            extra={"role": facts.role.value, "expires": int(facts.not_after)},
        )
        self._apply()

    def _take_roots(self, trust: bytes) -> None:
        from common.pki.certificate import facts_of  # noqa: PLC0415 - slow to load

        facts_of(self._tls.files.certificate.read_bytes(), trust)  # it must be of one of them
        self._tls.files.write_root(trust)
        log.info("this node trusts other roots from now on")
        self._apply()

    def _apply(self) -> None:
        before = self._root
        self._tls.reload()
        self._read()
        self.on_change()
        if roots_in(before) - roots_in(self._root):
            self.on_root_dropped()


def roots_in(trust: bytes) -> frozenset[bytes]:
    """The single certificates of a bundle of PEM."""
    end = b"-----END CERTIFICATE-----"
    return frozenset(part.strip() for part in trust.split(end) if part.strip())
