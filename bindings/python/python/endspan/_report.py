"""The account: what became of every span."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Account:
    """The account of one destination, in writes: one for a span's end and, where starts are written, one for its start.

    ``accepted == delivered + superseded + sum(dropped.values()) + spooled + pending``, always.
    """

    destination: str
    accepted: int = 0
    delivered: int = 0
    superseded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    spooled: int = 0
    pending: int = 0

    @property
    def dropped_total(self) -> int:
        """What was given up, for any reason."""
        return sum(self.dropped.values())

    @property
    def is_conserved(self) -> bool:
        """Whether the account closes."""
        fates = self.delivered + self.superseded + self.dropped_total + self.spooled + self.pending
        return self.accepted == fates


@dataclass(frozen=True)
class Report:
    """What a flush or shutdown achieved."""

    accounts: tuple[Account, ...] = ()
    timed_out: bool = False

    @classmethod
    def _of(cls, raw: dict[str, Any]) -> Report:
        return cls(tuple(Account(**account) for account in raw["accounts"]), raw["timed_out"])

    @property
    def delivered(self) -> int:
        """What all destinations together have."""
        return sum(account.delivered for account in self.accounts)

    @property
    def superseded(self) -> int:
        """What need not be sent, because a newer version of the same span stands for it."""
        return sum(account.superseded for account in self.accounts)

    @property
    def dropped(self) -> int:
        """What was given up."""
        return sum(account.dropped_total for account in self.accounts)

    @property
    def spooled(self) -> int:
        """What was left in the spool for the next process."""
        return sum(account.spooled for account in self.accounts)

    @property
    def pending(self) -> int:
        """What waits or is under way."""
        return sum(account.pending for account in self.accounts)

    @property
    def is_complete(self) -> bool:
        """Whether every span reached every destination."""
        return self.dropped + self.spooled + self.pending == 0

    def account(self, destination: str) -> Account | None:
        """The account of a destination, by its exporter's name."""
        return next((account for account in self.accounts if account.destination == destination), None)

    def __str__(self) -> str:
        lines = []
        for account in self.accounts:
            words = [f"{account.destination}: {account.delivered} delivered"]
            for word in ("superseded", "spooled", "pending"):
                if count := getattr(account, word):
                    words.append(f"{count} {word}")
            words += [f"{count} dropped ({reason})" for reason, count in account.dropped.items()]
            lines.append(", ".join(words))
        return "; ".join(lines) or "no destinations"


@dataclass(frozen=True)
class DestinationStats:
    """How a destination is doing: its account, whether it answers, and its requests."""

    account: Account
    health: str
    pending_bytes: int
    requests_in_flight: int
    requests: int
    failed_requests: int
    retried_requests: int


@dataclass(frozen=True)
class Stats:
    """How a tracer is doing right now."""

    destinations: tuple[DestinationStats, ...]
    unread_records: int
    open_spans: int
    unencodable_payloads: int
    queue_bytes: int
    resident_bytes: int
    spool_bytes: int
    spooling: bool
    recovered_records: int
    recovered_open_spans: int

    @classmethod
    def _of(cls, raw: dict[str, Any]) -> Stats:
        destinations = tuple(
            DestinationStats(**{**destination, "account": Account(**destination["account"])})
            for destination in raw.pop("destinations")
        )
        return cls(destinations=destinations, **raw)

    @property
    def pending(self) -> int:
        """What waits or is under way, for all destinations together."""
        return sum(destination.account.pending for destination in self.destinations)

    @property
    def dropped(self) -> int:
        """What was given up, for all destinations together."""
        return sum(destination.account.dropped_total for destination in self.destinations)
