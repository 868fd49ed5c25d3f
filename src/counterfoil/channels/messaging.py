"""Everything about messages between people, and from the scheme to many, built from what it needs."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from counterfoil.channels.announcements import KIND, Announcements
from counterfoil.channels.conversations import Conversations
from counterfoil.channels.held import HeldTexts
from counterfoil.channels.quiet import QuietRules
from counterfoil.channels.reports import Reports
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.parties.approvals import ANNOUNCEMENT, Kind
from counterfoil.parties.service import Parties
from counterfoil.payments.hub import Hub
from counterfoil.store.database import Store


class Messaging:
    """The parts. `announcements` and `held` work in the background; `kinds`: what staff can propose."""

    def __init__(self, config: Config, *, store: Store, parties: Parties, clock: Clock, hub: Hub, scheme_account: int) -> None:
        zone = ZoneInfo(config.time_zone)
        rules = QuietRules(zone=zone, quiet_from=config.quiet_from, quiet_until=config.quiet_until, per_week=config.texts_per_week)
        self.held = HeldTexts(store=store, clock=clock, rules=rules)
        self.announcements = Announcements(
            store=store, parties=parties, clock=clock, hub=hub, held=self.held, account=scheme_account, languages=config.languages
        )
        self.conversations = Conversations(
            store=store, parties=parties, clock=clock, hub=hub, held=self.held, scheme_account=scheme_account
        )
        self.reports = Reports(store=store, clock=clock, scheme_account=scheme_account)
        propose, approve = ANNOUNCEMENT
        self.kinds = {KIND: Kind(propose=propose, approve=approve, execute=self.announcements.execute, check=self.announcements.check)}
