"""What a merchant's server needs: tokens, and webhooks with their delivery log."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.channels.outbox import EndpointState, Message
from counterfoil.channels.webhooks import ENDPOINTS_PER_PARTY_MAX, PAGE_SIZE_MAX, Attempt, Webhooks
from counterfoil.channels.webhooks import Endpoint as Webhook
from counterfoil.errors import Forbidden, IdReused, Malformed, NotInThisState, TooLarge
from counterfoil.moments import moment_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.tokens import TOKENS_MAX, Scope, Token, Tokens
from counterfoil.web.access import HOLDER, Principal, holder_or
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import (
    Cursor,
    Moment,
    Text,
    UuidText,
    cursor_text,
    parse_cursor,
    parse_moment,
    parse_uuid,
    uuid_text,
)

Url = Annotated[str, msgspec.Meta(max_length=2_048, description="https address on the public internet")]
EventTypes = Annotated[list[Annotated[str, msgspec.Meta(max_length=32)]], msgspec.Meta(max_length=32)]


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token for a server of the caller: what it may do, until when."""

    label: Text
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=16)]
    expires_at: Moment


class TokenView(msgspec.Struct, frozen=True):
    """A token without its text."""

    id: UuidText
    label: str
    scopes: list[Scope]
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None


class NewTokenView(msgspec.Struct, frozen=True):
    """A token with its text (`token`), which is told this once."""

    id: UuidText
    token: str
    scopes: list[Scope]
    expires_at: Moment


class TokensView(msgspec.Struct, frozen=True):
    """All tokens of the party, newest first; revoked and expired ones too."""

    tokens: Annotated[list[TokenView], msgspec.Meta(description=f"at most {TOKENS_MAX} of them stand")]


class WebhookBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send what. `id` is made by the caller; `event_types` empty for all."""

    id: UuidText
    url: Url
    event_types: EventTypes = []


class WebhookChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; null leaves it as it is."""

    url: Url | None = None
    event_types: EventTypes | None = None


class WebhookView(msgspec.Struct, frozen=True):
    """Where the caller's server hears of events. `reason`: why it is disabled."""

    id: UuidText
    url: str
    event_types: list[str]
    state: EndpointState
    reason: str
    failing_since: Moment | None
    created_at: Moment


class WebhooksView(msgspec.Struct, frozen=True):
    """All endpoints of the party, oldest first."""

    webhooks: Annotated[list[WebhookView], msgspec.Meta(description=f"at most {ENDPOINTS_PER_PARTY_MAX}")]


class SecretView(msgspec.Struct, frozen=True):
    """The secret that signs (Standard Webhooks, "whsec_...")."""

    secret: str


class PingView(msgspec.Struct, frozen=True):
    """The message that was put on its way; look it up among the deliveries."""

    message: UuidText


class ReplayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Send all events since a moment again."""

    since: Moment


class ReplayView(msgspec.Struct, frozen=True):
    """How many events were put on their way; `next_since` goes on from there, null when that was all."""

    count: int
    next_since: Moment | None


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, newest first."""

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)] = 50


class MessageView(msgspec.Struct, frozen=True):
    """What was or is to be sent."""

    id: UuidText
    type: str
    at: Moment
    attempts: int
    next_attempt_at: Moment | None
    delivered_at: Moment | None
    last_status: int | None


class MessagesView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    messages: list[MessageView]
    next: Cursor | None


class AttemptView(msgspec.Struct, frozen=True):
    """One attempt. `status` null: nobody answered; `error` empty: delivered."""

    message: UuidText
    number: int
    at: Moment
    duration_ms: int
    status: int | None
    error: str


class AttemptsView(msgspec.Struct, frozen=True):
    """A page of the delivery log. `next` is the cursor of the following page; null at the end."""

    deliveries: list[AttemptView]
    next: Cursor | None


class MerchantEndpoints:
    """Tokens and webhooks."""

    def __init__(self, *, tokens: Tokens, webhooks: Webhooks) -> None:
        self.tokens = tokens
        self.webhooks = webhooks

    def endpoints(self) -> list[Endpoint]:
        write = holder_or(Scope.WEBHOOKS_WRITE)
        path, tag = "/v1/webhooks/{id}", "webhooks"
        active = (NotInThisState,)
        return [
            Endpoint("POST", "/v1/tokens", self.create_token, access=HOLDER, errors=(Forbidden, TooLarge), status=201, tag="tokens"),
            Endpoint("GET", "/v1/tokens", self.list_tokens, access=HOLDER, tag="tokens"),
            Endpoint("DELETE", "/v1/tokens/{id}", self.revoke_token, access=HOLDER, status=204, tag="tokens"),
            Endpoint("POST", "/v1/webhooks", self.create, access=write, errors=(IdReused, TooLarge), status=201, tag=tag),
            Endpoint("GET", "/v1/webhooks", self.list_webhooks, access=write, tag=tag),
            Endpoint("GET", path, self.webhook, access=write, tag=tag),
            Endpoint("PATCH", path, self.change, access=write, tag=tag),
            Endpoint("DELETE", path, self.delete, access=write, status=204, tag=tag),
            Endpoint("POST", f"{path}/enable", self.enable, access=write, tag=tag),
            Endpoint("GET", f"{path}/secret", self.secret, access=write, tag=tag),
            Endpoint("POST", f"{path}/secret", self.rotate_secret, access=write, tag=tag),
            Endpoint("POST", f"{path}/ping", self.ping, access=write, errors=active, status=202, tag=tag),
            Endpoint("POST", f"{path}/replay", self.replay, access=write, errors=active, status=202, tag=tag),
            Endpoint("GET", f"{path}/messages", self.messages, access=write, tag=tag),
            Endpoint("POST", f"{path}/messages/{{message}}/replay", self.replay_message, access=write, errors=active, status=204, tag=tag),
            Endpoint("GET", f"{path}/deliveries", self.deliveries, access=write, tag=tag),
        ]

    async def create_token(self, caller: Principal, body: TokenBody) -> NewTokenView:
        """Make a token for a server of the caller. Its text is told this once; a repeat makes another.

        The scope `till` is refused: a till gets its token by pairing (POST /v1/tills).
        """
        if Scope.TILL in body.scopes:
            raise Malformed("scopes", "must not name till: a till gets its token by pairing, see POST /v1/tills")
        token, text = await self.tokens.create(
            account=caller.account,
            device=caller.device,
            label=body.label,
            scopes=frozenset(body.scopes),
            expires_at=parse_moment(body.expires_at, "expires_at"),
        )
        return NewTokenView(uuid_text(token.id), text, sorted(token.scopes), moment_text(token.expires_at))

    async def list_tokens(self, caller: Principal) -> TokensView:
        """The caller's tokens, without their texts."""
        return TokensView([_token(token) for token in await self.tokens.list(caller.party)])

    async def revoke_token(self, caller: Principal, id: int) -> None:
        """End a token at once. A repeat changes nothing."""
        await self.tokens.revoke(id, caller.party, by=caller.device)

    async def create(self, caller: Principal, body: WebhookBody) -> WebhookView:
        """Hear of the account's events at an address, from now on. A repeat with the same id answers the same."""
        webhook = await self.webhooks.create(
            id=parse_uuid(body.id, "id"), party=caller.party, account=caller.account, url=body.url, event_types=body.event_types
        )
        return _webhook(webhook)

    async def list_webhooks(self, caller: Principal) -> WebhooksView:
        """The caller's webhooks."""
        return WebhooksView([_webhook(webhook) for webhook in await self.webhooks.endpoints_of(caller.party)])

    async def webhook(self, caller: Principal, id: int) -> WebhookView:
        """One webhook."""
        return _webhook(await self.webhooks.find(caller.party, id))

    async def change(self, caller: Principal, id: int, body: WebhookChangeBody) -> WebhookView:
        """Another address, other events, or both; what waits goes to the new address."""
        return _webhook(await self.webhooks.change(caller.party, id, url=body.url, event_types=body.event_types))

    async def delete(self, caller: Principal, id: int) -> None:
        """Send nothing any more, not even what waits."""
        await self.webhooks.delete(caller.party, id)

    async def enable(self, caller: Principal, id: int) -> WebhookView:
        """Send again to a disabled webhook, also what happened meanwhile. A repeat changes nothing."""
        return _webhook(await self.webhooks.enable(caller.party, id))

    async def secret(self, caller: Principal, id: int) -> SecretView:
        """The secret that signs what we send."""
        return SecretView(await self.webhooks.secret(caller.party, id))

    async def rotate_secret(self, caller: Principal, id: int) -> SecretView:
        """Make a new secret; the one before it signs as well for a day."""
        return SecretView(await self.webhooks.rotate_secret(caller.party, id))

    async def ping(self, caller: Principal, id: int) -> PingView:
        """Send a test message."""
        return PingView(uuid_text(await self.webhooks.ping(caller.party, id)))

    async def replay(self, caller: Principal, id: int, body: ReplayBody) -> ReplayView:
        """Send all events since a moment again, under their own ids."""
        replayed = await self.webhooks.replay_since(caller.party, id, parse_moment(body.since, "since"))
        return ReplayView(replayed.count, None if replayed.next_since is None else moment_text(replayed.next_since))

    async def messages(self, caller: Principal, id: int, query: PageQuery) -> MessagesView:
        """What was or is to be sent, newest first."""
        before = parse_cursor(query.cursor, maximum=AMOUNT_MAX)
        found = await self.webhooks.messages(caller.party, id, before=before, limit=query.limit)
        return MessagesView([_message(each) for each in found], cursor_text(found[-1].timestamp) if len(found) == query.limit else None)

    async def replay_message(self, caller: Principal, id: int, message: int) -> None:
        """Send one message again, delivered or not, under its own id."""
        await self.webhooks.replay_message(caller.party, id, message)

    async def deliveries(self, caller: Principal, id: int, query: PageQuery) -> AttemptsView:
        """The delivery log: each attempt and what came of it, newest first."""
        before = parse_cursor(query.cursor, maximum=AMOUNT_MAX)
        found = await self.webhooks.attempts(caller.party, id, before=before, limit=query.limit)
        return AttemptsView([_attempt(each) for each in found], cursor_text(found[-1].at) if len(found) == query.limit else None)


def _optional(moment: int | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _token(token: Token) -> TokenView:
    return TokenView(
        uuid_text(token.id),
        token.label,
        sorted(token.scopes),
        moment_text(token.created_at),
        moment_text(token.expires_at),
        _optional(token.revoked_at),
    )


def _webhook(webhook: Webhook) -> WebhookView:
    return WebhookView(
        id=uuid_text(webhook.id),
        url=webhook.url,
        event_types=list(webhook.event_types),
        state=webhook.state,
        reason=webhook.reason,
        failing_since=_optional(webhook.failing_since),
        created_at=moment_text(webhook.created_at),
    )


def _message(message: Message) -> MessageView:
    return MessageView(
        id=uuid_text(message.id),
        type=message.type,
        at=moment_text(message.timestamp),
        attempts=message.attempts,
        next_attempt_at=_optional(message.next_attempt_at),
        delivered_at=_optional(message.delivered_at),
        last_status=message.last_status,
    )


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        uuid_text(attempt.message), attempt.number, moment_text(attempt.at), attempt.duration_ms, attempt.status, attempt.error
    )
