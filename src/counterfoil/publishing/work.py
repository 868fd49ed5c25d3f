"""What the publisher's process does: it follows ledger and store beside the server, and alone writes the log."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.errors import Malformed
from counterfoil.folder import Cosigned, log_folder, openings_path, operator_key, policy_path, store_url
from counterfoil.parties.tiers import all_tiers
from counterfoil.payments.openings import Openings
from counterfoil.payments.publish.runner import Stop, run_publisher
from counterfoil.payments.publish.service import Publisher
from counterfoil.payments.rules import DEFAULT_TARIFF, SchemeRules, publish
from counterfoil.publishing.ledger import follow
from counterfoil.store.reader import StoreReader
from counterfoil.tlog.keys import Signer
from counterfoil.tlog.log import Log
from counterfoil.tlog.note import Note
from counterfoil.tlog.types import NotProven

log = structlog.get_logger(__name__)


def publish_until(config: Config, stop: Stop, clock: Clock, on_ready: Callable[[], None]) -> None:
    """Publishes the scheme in `config.data` until `stop` is set. The server, or whoever holds the folder, must have made its files.

    Raises Unavailable when they cannot be opened, LogMismatch when the log in the folder is not this scheme's.
    """
    folder = log_folder(config)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    signer = Signer(config.origin, operator_key(config.folder, clock))
    with (
        Log.open(folder, signer) as tlog,
        Openings.writing(openings_path(config)) as openings,
        StoreReader(store_url(config)) as store,
        follow(config) as ledger,
    ):
        tlog.keep_policy(read_policy(config, signer).decode())
        document = store.read(lambda connection: rules_in_force(config, connection)).document
        publisher = Publisher(
            openings=openings, log=tlog, ledger=ledger, store=store, rules=lambda: document, asset=config.currency_code, clock=clock
        )
        cosigned = Cosigned(config)
        run_publisher(publisher, clock, stop=stop, on_ready=on_ready, on_round=lambda: _keep_witnessed(tlog, cosigned))


def read_policy(config: Config, signer: Signer) -> bytes:
    """The scheme's tlog-policy. Where the operator wrote none, one without witnesses: the log's own word has to do."""
    path = policy_path(config)
    if path.is_file():
        return path.read_bytes()
    return f"# No witness is asked: write DATA/policy (C2SP tlog-policy) to have some.\nlog {signer.vkey}\nquorum none\n".encode()


def rules_in_force(config: Config, connection: Connection) -> SchemeRules:
    """The tariff, and the tiers' limits as the store has them."""
    limits = {tier.name: tier.limits for tier in all_tiers(connection)}
    return publish(origin=config.origin, currency=config.currency, tariff=DEFAULT_TARIFF, limits=limits, time_zone=config.time_zone)


def _keep_witnessed(tlog: Log, cosigned: Cosigned) -> None:
    data = cosigned.take()
    if data is not None:
        try:
            tlog.keep_witnessed(Note.parse(data))
        except (Malformed, NotProven) as error:
            log.warning("cosigned_head_refused", error=str(error))
