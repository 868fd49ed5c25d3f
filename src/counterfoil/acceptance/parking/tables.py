"""The tables of car parks. What was held and paid for a stay is not in them: its sales are asked."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

car_parks = Table(
    "car_parks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("places", Integer, nullable=False),
    Column("hold", Amount, nullable=False),
    Column("grace_minutes", Integer, nullable=False),
    Column("tariff", Text, nullable=False),
    Column("changed_at", Nanoseconds, nullable=False),
    CheckConstraint("places > 0", name="places_positive"),
    Index("ix_car_parks_account", "account"),
)
"""`hold`: what is set aside at the entry of whoever wants that; 0 where nobody is asked to."""

stays = Table(
    "stays",
    metadata,
    Column("id", Id, primary_key=True),
    Column("car_park", Id, ForeignKey("car_parks.id"), nullable=False),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("mark", String(40), nullable=True),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("hold", Amount, nullable=False),
    Column("grace_minutes", Integer, nullable=False),
    Column("tariff", Text, nullable=False),
    Column("entered_at", Nanoseconds, nullable=False),
    Column("lost", Boolean, nullable=False),
    Column("left_at", Nanoseconds, nullable=True),
    Column("passage", Id, nullable=True),
    Column("unpaid", Amount, nullable=False),
    Column("reason", Text, nullable=False),
    Column("look_at", Nanoseconds, nullable=False, server_default=text("0")),
    Column("reminded_for", Nanoseconds, nullable=False, server_default=text("0")),
    CheckConstraint("(left_at IS NULL) = (passage IS NULL)", name="left_by_a_passage"),
    CheckConstraint("unpaid >= 0", name="unpaid_not_negative"),
)
"""The id is made at the gate: it is the ticket, and the id of the sale that sets money aside. `mark`: the plate or card that
names the stay, too. Tariff, hold and grace are those that it began under. `passage`: the one going out that ended it;
`unpaid`: what was owed when somebody was let out, for `reason`. `look_at`: when it is next looked whether its driver has to be
reminded; `reminded_for`: the end of the cover that they were last reminded of, 0 for none."""

inside = stays.c.left_at.is_(None)
"""Of a stay that has not ended."""

Index("ix_stays_inside", stays.c.car_park, stays.c.id, sqlite_where=inside, postgresql_where=inside)
Index("ix_stays_look_at", stays.c.look_at, sqlite_where=inside, postgresql_where=inside)
Index("ix_stays_mark", stays.c.account, stays.c.mark, unique=True, sqlite_where=inside, postgresql_where=inside)

stay_charges = Table(
    "stay_charges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stay", Id, ForeignKey("stays.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("kind", String(7), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("at", Nanoseconds, nullable=False),
    Column("sale", Id, nullable=True),
    CheckConstraint("kind IN ('sale', 'capture', 'hold')", name="kind_known"),
    CheckConstraint("amount >= 0", name="amount_not_negative"),
    Index("ix_stay_charges_stay", "stay", "number", unique=True),
)
"""Each try to settle a stay, under the next `number` of it, written before it is carried out: a sale that asks for `amount`, one
that sets so much more aside, or the capture of so much of what is held for `sale` (0: all of it goes back; NULL: for the stay's own).
`at`: the moment that the fee was reckoned for. Whether it was paid, the sale knows."""
