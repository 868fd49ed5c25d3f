"""Tills: what the owner's device sets up, and what a till then does with its token and a clerk's session."""

from __future__ import annotations

import msgspec

from counterfoil.acceptance.codes import address_of
from counterfoil.acceptance.goods.catalogue import PAGE_SIZE_MAX as GOODS_PAGE_SIZE_MAX
from counterfoil.acceptance.sales import PAGE_SIZE_MAX
from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Back, Clerk, Goods, Line, Right, Till
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.errors import (
    AboveHold,
    AboveOriginal,
    AccountFrozen,
    AlreadyTaken,
    CardLocked,
    CardNotHere,
    CardUnknown,
    FeeAboveMaximum,
    Forbidden,
    HoldNotOpen,
    IdReused,
    InsufficientFunds,
    LimitExceeded,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotInThisState,
    OrderExpired,
    PartyClosed,
    PayeeCannotReceive,
    PaymentRefused,
    PinLocked,
    PinNotAllowed,
    RecoveryWaiting,
    TapUsed,
    TooLarge,
    TooMany,
    WrongCode,
    WrongPin,
)
from counterfoil.ledger.service import Ledger
from counterfoil.moments import moment_text
from counterfoil.money import format_amount
from counterfoil.parties.numbers import masked_number
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Scope
from counterfoil.payments.feed import Feed
from counterfoil.web.access import HOLDER, PUBLIC, Principal, server
from counterfoil.web.api.events import MEDIA_TYPE
from counterfoil.web.card_views import CardAnswersBody, CardAskedView, CardCommandView, CardPinBody, TapBody, asked_view
from counterfoil.web.day_views import DayQuery, DaySalesQuery, DayView, day_view
from counterfoil.web.desk import ASKING, CLERK_HEADER, Desk
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.goods_views import GoodsBody, GoodsListView, GoodsQuery, GoodsView, ImportedView, goods_view
from counterfoil.web.guesses import Guesses
from counterfoil.web.incoming import Answer, Incoming
from counterfoil.web.till_stream import SaleEvents
from counterfoil.web.till_views import (
    ActionBody,
    CaptureOfSaleBody,
    ClerkBody,
    ClerkChangeBody,
    ClerksView,
    ClerkView,
    CurrencyView,
    MerchantView,
    PairBody,
    PairedView,
    PairingView,
    RefundOfSaleBody,
    SaleBody,
    SalesView,
    SaleView,
    SessionView,
    ShopView,
    SignInBody,
    SlipBody,
    SlipSentView,
    TillBody,
    TillClerkView,
    TillName,
    TillSchemeView,
    TillsView,
    clerk_view,
    slip_path,
    till_view,
)
from counterfoil.web.values import base64_text, cursor_text, parse_base64, parse_cursor, parse_moment, parse_uuid, uuid_text


class TillEndpoints:
    """Everything under /v1/tills, /v1/clerks and /v1/till."""

    def __init__(
        self,
        *,
        config: Config,
        desk: Desk,
        acceptance: Acceptance,
        parties: Parties,
        ledger: Ledger,
        feed: Feed,
        clock: Clock,
        guesses: Guesses,
    ) -> None:
        self.config = config
        self.acceptance = acceptance
        self.sales = acceptance.sales
        self.parties = parties
        self.ledger = ledger
        self.clock = clock
        self.guesses = guesses
        self.desk = desk
        self.sale_events = SaleEvents(sales=acceptance.sales, feed=feed, clock=clock)

    def endpoints(self) -> list[Endpoint]:
        owner, till, tag, sale = HOLDER, server(Scope.TILL), "tills", "/v1/till/sales/{id}"
        signed_in = (NotAuthenticated, Forbidden)
        moving = (*signed_in, IdReused, NotInThisState, OrderExpired, PaymentRefused)
        about_hold = (*moving, HoldNotOpen, AboveHold, FeeAboveMaximum)
        outgoing = (InsufficientFunds, LimitExceeded, AccountFrozen, RecoveryWaiting, PartyClosed, PayeeCannotReceive)
        adding = (Forbidden, IdReused, TooLarge)
        adding_goods, imports = (AlreadyTaken, IdReused, TooLarge), "/v1/till/goods/import"
        tapping = (CardUnknown, CardLocked, TapUsed, NotInThisState)
        proving = (NotFound, OrderExpired, CardNotHere)
        agreeing = (NotFound, CardLocked, CardNotHere, WrongPin, PinLocked, PinNotAllowed, FeeAboveMaximum)
        return [
            Endpoint("POST", "/v1/tills", self.add_till, access=owner, errors=(*adding, NotInThisState), tag=tag),
            Endpoint("GET", "/v1/tills", self.list_tills, access=owner, tag=tag),
            Endpoint("POST", "/v1/tills/pair", self.pair, access=PUBLIC, errors=(WrongCode, TooMany, TooLarge), tag=tag),
            Endpoint("POST", "/v1/tills/{id}/pair", self.new_code, access=owner, errors=(NotInThisState,), tag=tag),
            Endpoint("DELETE", "/v1/tills/{id}", self.end_till, access=owner, status=204, tag=tag),
            Endpoint("POST", "/v1/clerks", self.add_clerk, access=owner, errors=adding, tag=tag),
            Endpoint("GET", "/v1/clerks", self.list_clerks, access=owner, tag=tag),
            Endpoint("PATCH", "/v1/clerks/{id}", self.change_clerk, access=owner, errors=(NotInThisState, TooMany), tag=tag),
            Endpoint("DELETE", "/v1/clerks/{id}", self.end_clerk, access=owner, status=204, tag=tag),
            Endpoint("GET", "/v1/till", self.shop, access=till, tag="till"),
            Endpoint("POST", "/v1/till/sign-in", self.sign_in, access=till, errors=(WrongPin, PinLocked, TooMany), tag="till"),
            Endpoint("POST", "/v1/till/sign-out", self.sign_out, access=till, status=204, tag="till"),
            Endpoint("GET", "/v1/till/goods", self.list_goods, access=till, errors=signed_in, tag="till"),
            Endpoint("POST", imports, self.import_goods, access=till, errors=signed_in, body_media_type="text/csv", tag="till"),
            Endpoint("PUT", "/v1/till/goods/{id}", self.put_goods, access=till, errors=(*adding_goods, *signed_in), tag="till"),
            Endpoint("POST", "/v1/till/sales", self.sell, access=till, errors=(*signed_in, *ASKING, IdReused, NotFound), tag="till"),
            Endpoint("GET", "/v1/till/sales", self.list_sales, access=till, errors=signed_in, tag="till"),
            Endpoint("GET", sale, self.sale, access=till, errors=signed_in, tag="till"),
            Endpoint("POST", f"{sale}/cancel", self.cancel, access=till, errors=(*signed_in, NotInThisState), tag="till"),
            Endpoint("POST", f"{sale}/card", self.ask_card, access=till, errors=(*signed_in, *tapping), tag="till"),
            Endpoint("POST", f"{sale}/card/prove", self.prove_card, access=till, errors=(*signed_in, *proving), tag="till"),
            Endpoint("POST", f"{sale}/card/pay", self.pay_by_card, access=till, errors=(*moving, *agreeing, *outgoing), tag="till"),
            Endpoint("POST", f"{sale}/refunds", self.refund, access=till, errors=(*moving, AboveOriginal, *outgoing), tag="till"),
            Endpoint("POST", f"{sale}/capture", self.capture, access=till, errors=about_hold, tag="till"),
            Endpoint("POST", f"{sale}/release", self.release, access=till, errors=about_hold, tag="till"),
            Endpoint("POST", f"{sale}/slip-sms", self.send_slip, access=till, errors=(*signed_in, NotInThisState, TooMany), tag="till"),
            Endpoint("GET", "/v1/till/day", self.day, access=till, errors=signed_in, tag="till"),
            Endpoint("POST", "/v1/till/day/close", self.close_day, access=till, errors=(*signed_in, IdReused, NotInThisState), tag="till"),
            Endpoint("GET", "/v1/till/events", self.events, access=till, errors=(Forbidden, TooMany), media_type=MEDIA_TYPE, tag="till"),
        ]

    # The owner

    async def add_till(self, caller: Principal, body: TillBody) -> PairingView:
        """Add a till. Its code pairs a device, once and for ten minutes. A repeat gives another code."""
        holder = await self.parties.holder(caller.account)
        till, code = await self.acceptance.tills.add(holder, id=parse_uuid(body.id, "id"), name=body.name, device=caller.device)
        return _pairing(till, code)

    async def list_tills(self, caller: Principal) -> TillsView:
        """The tills of the account."""
        return TillsView([till_view(till) for till in await self.acceptance.tills.list(caller.account)])

    async def new_code(self, caller: Principal, id: int) -> PairingView:
        """Another code for a till: a new device takes the place of the one that is paired as soon as it uses it."""
        return _pairing(*await self.acceptance.tills.new_code(id, account=caller.account, device=caller.device))

    async def end_till(self, caller: Principal, id: int) -> None:
        """End a till and its token, for good. A repeat changes nothing."""
        await self.acceptance.tills.end(id, account=caller.account, device=caller.device)

    async def add_clerk(self, caller: Principal, body: ClerkBody) -> ClerkView:
        """Add somebody who works at the tills. A repeat changes nothing."""
        clerk = await self.acceptance.clerks.add(
            id=parse_uuid(body.id, "id"),
            account=caller.account,
            party=caller.party,
            name=body.name,
            pin=body.pin,
            rights=body.rights,
            device=caller.device,
        )
        return await self._clerk(clerk)

    async def list_clerks(self, caller: Principal) -> ClerksView:
        """Everybody who works at the tills."""
        clerks = await self.acceptance.clerks.list(caller.account)
        locked = await self.acceptance.clerks.locked([clerk.id for clerk in clerks])
        return ClerksView([clerk_view(clerk, locked.get(clerk.id)) for clerk in clerks])

    async def change_clerk(self, caller: Principal, id: int, body: ClerkChangeBody) -> ClerkView:
        """Change a clerk's name, PIN or rights, or forgive wrong PINs. Rights hold at once, also where the clerk is signed in."""
        clerk = await self.acceptance.clerks.change(
            id,
            account=caller.account,
            party=caller.party,
            device=caller.device,
            name=body.name,
            pin=body.pin,
            rights=body.rights,
            unlock=body.unlock,
        )
        return await self._clerk(clerk)

    async def end_clerk(self, caller: Principal, id: int) -> None:
        """Let a clerk do nothing any more. What they did keeps their name. A repeat changes nothing."""
        await self.acceptance.clerks.end(id, account=caller.account, party=caller.party, device=caller.device)

    # The device

    async def pair(self, request: Incoming, body: PairBody) -> PairedView:
        """Make this device the till that a code stands for. The code is used up; the token is told this once."""
        self.guesses.enrolments.spend(request.counted_as)
        till, token = await self.acceptance.tills.pair(body.code, body.label)
        holder = await self.parties.holder(till.account)
        return PairedView(token, uuid_text(till.id), till.name, uuid_text(till.account), holder.name)

    async def shop(self, caller: Principal) -> ShopView:
        """Whose till this is, who works at it, and the code that stands for the shop."""
        till = await self.acceptance.tills.of_token(caller.token)
        holder = await self.parties.holder(till.account)
        codes, clerks = self.acceptance.codes, await self.acceptance.clerks.list(till.account)
        return ShopView(
            till=TillName(uuid_text(till.id), till.name),
            merchant=MerchantView(
                name=holder.name,
                code=holder.merchant_code,
                address=address_of(holder),
                account=uuid_text(till.account),
                static_code=codes.fixed(holder),
            ),
            currency=CurrencyView(codes.currency.code, codes.currency.digits, codes.numeric),
            clerks=[TillClerkView(uuid_text(clerk.id), clerk.name, sorted(clerk.rights)) for clerk in clerks],
            day=self.acceptance.days.today(),
            now=moment_text(self.clock.now_ns()),
            scheme=TillSchemeView(self.config.scheme_name, self.config.origin, self.config.sandbox),
        )

    async def sign_in(self, caller: Principal, body: SignInBody) -> SessionView:
        """A clerk comes to the till, with a PIN. Others who are signed in stay so."""
        till = await self.acceptance.tills.of_token(caller.token)
        session, secret = await self.acceptance.clerks.sign_in(
            parse_uuid(body.clerk, "clerk"), body.pin, till=till.id, account=till.account
        )
        clerk = session.clerk
        return SessionView(secret, uuid_text(clerk.id), sorted(clerk.rights), moment_text(session.expires_at))

    async def sign_out(self, caller: Principal, request: Incoming) -> None:
        """The clerk leaves. A repeat changes nothing."""
        till = await self.acceptance.tills.of_token(caller.token)
        await self.acceptance.clerks.sign_out(request.header(CLERK_HEADER) or "", till=till.id)

    async def events(self, caller: Principal) -> Answer:
        """What happens to the shop's sales, as it happens: server-sent events. Needs no clerk."""
        till = await self.acceptance.tills.of_token(caller.token)

        async def stands() -> bool:
            try:
                return (await self.acceptance.tills.of_token(caller.token)).id == till.id
            except Forbidden:
                return False

        return self.sale_events.answer(till.account, stands=stands)

    # With a clerk

    async def list_goods(self, caller: Principal, request: Incoming, query: GoodsQuery) -> GoodsListView:
        """What the shop sells: what its tills list, all of it, or the goods with a barcode."""
        till, _ = await self.desk.at(caller, request)
        catalogue, wants_all = self.acceptance.catalogue, query.list == "all"
        if query.cursor is not None and not wants_all:
            raise Malformed("cursor", "belongs to list=all")
        if query.barcode is not None:
            if wants_all:
                raise Malformed("list", "must not be given together with barcode")
            one = await catalogue.by_barcode(till.account, query.barcode)
            return GoodsListView([] if one is None else [goods_view(one)], None)
        if not wants_all:
            return GoodsListView([goods_view(each) for each in await catalogue.list(till.account)], None)
        found = await catalogue.page(till.account, after=parse_cursor(query.cursor))
        views = [goods_view(each) for each in found]
        return GoodsListView(views, cursor_text(found[-1].id) if len(found) == GOODS_PAGE_SIZE_MAX else None)

    async def import_goods(self, caller: Principal, request: Incoming, body: bytes) -> ImportedView:
        """Bring in a price list: all of it, or nothing, with the wrong lines named. A repeat changes nothing.

        CSV in UTF-8 with a header: name, price, and any of unit, barcode, department, tax (in percent) and id. A line is known by its
        id, or without one by its barcode. Goods that it adds are not on the tills' grid.
        """
        till, _ = await self.desk.at(caller, request, Right.GOODS)
        imported = await self.acceptance.price_lists.take(till.account, body)
        return ImportedView(imported.added, imported.changed, imported.unchanged)

    async def put_goods(self, caller: Principal, request: Incoming, id: int, body: GoodsBody) -> GoodsView:
        """Add goods, or change them. Sales keep the names, prices, departments and taxes they had."""
        till, _ = await self.desk.at(caller, request, Right.GOODS)
        values = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
        keep = set(body.__struct_fields__) - values.keys()
        return goods_view(await self.acceptance.catalogue.put(till.account, Goods(id=id, **values), keep=keep))

    async def sell(self, caller: Principal, request: Incoming, body: SaleBody) -> SaleView:
        """Make a sale: anybody can pay its code from now on, once. A repeat answers the same sale.

        One that was made without a network comes up to seven days later, and finds the payment that names it.
        """
        till, clerk = await self.desk.at(caller, request, Right.SELL)
        if body.clerk is not None:
            clerk = await self.acceptance.clerks.find(parse_uuid(body.clerk, "clerk"), till.account)
        sale, standing = await self.sales.make(
            till,
            clerk.id,
            id=parse_uuid(body.id, "id"),
            lines=[Line(*msgspec.structs.astuple(line)) for line in body.lines],
            amount=body.amount,
            hold=body.hold,
            made_at=parse_moment(body.made_at, "made_at"),
        )
        return await self.desk.view(sale, standing)

    async def list_sales(self, caller: Principal, request: Incoming, query: DaySalesQuery) -> SalesView:
        """Sales of a day, newest first."""
        till, _ = await self.desk.at(caller, request)
        day = query.day or self.acceptance.days.today()
        before = parse_cursor(query.cursor, maximum=2**31 - 1)
        found = await self.sales.of_day(till.account, day, before=before, limit=PAGE_SIZE_MAX)
        standings = await self.sales.standing_of(found)
        views = [await self.desk.view(sale, standings[sale.id]) for sale in found]
        return SalesView(views, cursor_text(found[-1].number) if len(found) == PAGE_SIZE_MAX else None)

    async def sale(self, caller: Principal, request: Incoming, id: int) -> SaleView:
        """A sale, as it stands in the ledger now."""
        till, _ = await self.desk.at(caller, request)
        sale = await self.sales.find(id, till.account)
        return await self.desk.view(sale, await self.sales.standing(sale))

    async def cancel(self, caller: Principal, request: Incoming, id: int) -> SaleView:
        """Take a sale back: nobody can pay it any more. A repeat changes nothing."""
        till, _ = await self.desk.at(caller, request, Right.SELL)
        sale = await self.sales.find(id, till.account)
        return await self.desk.view(sale, await self.sales.cancel(sale))

    async def ask_card(self, caller: Principal, request: Incoming, id: int, body: TapBody) -> CardAskedView:
        """Take the tap of a card for a sale, and say what it will cost the payer. Nothing moves yet. A repeat answers the same."""
        till, _ = await self.desk.at(caller, request, Right.SELL)
        sale = await self.sales.find(id, till.account)
        paying = self.acceptance.card_payments
        asked = await paying.ask(sale, body.e, body.c)
        return asked_view(asked, sale.amount, needs_proof=paying.needs_proof(sale, asked))

    async def prove_card(self, caller: Principal, request: Incoming, id: int, body: CardAnswersBody) -> CardCommandView:
        """Let the card that was tapped prove on a reader that it is there. The reader only carries bytes; a repeat answers the same."""
        till, _ = await self.desk.at(caller, request, Right.SELL)
        sale = await self.sales.find(id, till.account)
        answers = [parse_base64(text, f"answers[{number}]") for number, text in enumerate(body.answers)]
        command = await self.acceptance.card_payments.prove(sale, parse_uuid(body.tap, "tap"), answers)
        return CardCommandView(base64_text(command) if command is not None else None)

    async def pay_by_card(self, caller: Principal, request: Incoming, id: int, body: CardPinBody) -> SaleView:
        """Pay a sale from the account of the card that was tapped, on the word of its holder's PIN. A repeat pays nothing more."""
        till, _ = await self.desk.at(caller, request, Right.SELL)
        sale = await self.sales.find(id, till.account)
        return await self.desk.view(sale, await self.acceptance.card_payments.pay(sale, parse_uuid(body.tap, "tap"), body.pin))

    async def refund(self, caller: Principal, request: Incoming, id: int, body: RefundOfSaleBody) -> SaleView:
        """Give back what was paid, in full or in part, never above it. A repeat gives back nothing more.

        With `lines` the amount is what these cost, and never more of a line goes back so than was sold.
        """
        till, clerk = await self.desk.at(caller, request, Right.REFUND)
        sale = await self.sales.find(id, till.account)
        refund = parse_uuid(body.id, "id")
        if (body.amount is None) == (body.lines is None):
            raise Malformed("amount", "must be given, or lines, and not both")
        if body.amount is not None:
            return await self.desk.view(sale, await self.sales.refund(sale, till, clerk, id=refund, amount=body.amount, memo=body.memo))
        back = [Back(each.line, each.quantity) for each in body.lines or ()]
        return await self.desk.view(sale, await self.sales.refund_lines(sale, till, clerk, id=refund, lines=back, memo=body.memo))

    async def capture(self, caller: Principal, request: Incoming, id: int, body: CaptureOfSaleBody) -> SaleView:
        """Take held money; the rest goes back to the payer. A repeat takes nothing more."""
        till, clerk = await self.desk.at(caller, request, Right.CAPTURE)
        sale = await self.sales.find(id, till.account)
        return await self.desk.view(sale, await self.sales.capture(sale, till, clerk, id=parse_uuid(body.id, "id"), amount=body.amount))

    async def release(self, caller: Principal, request: Incoming, id: int, body: ActionBody) -> SaleView:
        """Give all held money back. A repeat changes nothing."""
        till, clerk = await self.desk.at(caller, request, Right.CAPTURE)
        sale = await self.sales.find(id, till.account)
        return await self.desk.view(sale, await self.sales.release(sale, till, clerk, id=parse_uuid(body.id, "id")))

    async def send_slip(self, caller: Principal, request: Incoming, id: int, body: SlipBody) -> SlipSentView:
        """Send the slip's address in a text message, to the payer or to another number."""
        till, _ = await self.desk.at(caller, request, Right.SELL)
        sale = await self.sales.find(id, till.account)
        self.guesses.look_ups.spend(caller.party)
        holder = await self.parties.holder(till.account)
        amount = f"{format_amount(sale.amount, self.acceptance.codes.currency)} {self.acceptance.codes.currency.code}"
        link = own_address(request) + slip_path(sale)
        number = await self.sales.send_slip(sale, body.number, link, shop=holder.name, amount=amount)
        return SlipSentView(masked_number(number))

    async def day(self, caller: Principal, request: Incoming, query: DayQuery) -> DayView:
        """A day's sums, from the ledger."""
        till, clerk = await self.desk.at(caller, request)
        if not clerk.rights & {Right.SEE_TAKINGS, Right.CLOSE_DAY}:
            raise Forbidden(f"this clerk does not have the right {Right.SEE_TAKINGS}", right=Right.SEE_TAKINGS)
        day = await self.acceptance.days.of(till.account, query.day or self.acceptance.days.today())
        return day_view(day, available=self._available(till, clerk))

    async def close_day(self, caller: Principal, request: Incoming, body: ActionBody) -> DayView:
        """Close today: the sums get the next number and never change. A repeat answers the same closing."""
        till, clerk = await self.desk.at(caller, request, Right.CLOSE_DAY)
        day = await self.acceptance.days.close(till, clerk, id=parse_uuid(body.id, "id"))
        return day_view(day, available=self._available(till, clerk))

    # Parts

    async def _clerk(self, clerk: Clerk) -> ClerkView:
        return clerk_view(clerk, (await self.acceptance.clerks.locked([clerk.id])).get(clerk.id))

    def _available(self, till: Till, clerk: Clerk) -> int | None:
        account = self.ledger.account_now(till.account)
        if Right.SEE_TAKINGS not in clerk.rights or account is None:
            return None
        return account.credits_posted - account.debits_posted - account.debits_pending


def _pairing(till: Till, code: str) -> PairingView:
    assert till.code_expires_at is not None, till.id
    return PairingView(uuid_text(till.id), till.name, code, f"/till/#/pair?code={code}", moment_text(till.code_expires_at))


def own_address(request: Incoming) -> str:
    """Where the caller reached us, such as "https://money.example.org": plain HTTP is for this machine alone."""
    host = request.header("host") or "localhost"
    local = host.partition(":")[0] in ("localhost", "127.0.0.1")
    return f"{'http' if local else 'https'}://{host}"
