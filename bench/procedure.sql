-- What somebody would write who wants a ledger in PostgreSQL and nothing else: one table of accounts, one of transfers with
-- the balances after them, and a procedure that is one transaction. A repeat is recognised by its id, rows are locked in the
-- order of their ids, and nobody can spend what they do not have. The rows are left room, so that an update touches no index.
CREATE TABLE account (
    id bigint PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0)
) WITH (fillfactor = 50);

CREATE TABLE transfer (
    id bigint PRIMARY KEY,
    payer bigint NOT NULL,
    payee bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    payer_balance bigint NOT NULL,
    payee_balance bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CHECK (payer <> payee)
);

CREATE FUNCTION pay(wanted bigint, payer bigint, payee bigint, amount bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    payer_after bigint;
    payee_after bigint;
BEGIN
    PERFORM FROM account WHERE id IN (payer, payee) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM transfer WHERE id = wanted) THEN  -- the same order at the same time has waited for the lock
        RETURN 'exists';
    END IF;
    UPDATE account SET balance = balance - amount WHERE id = payer AND balance >= amount RETURNING balance INTO payer_after;
    IF NOT FOUND THEN
        RETURN 'refused';
    END IF;
    UPDATE account SET balance = balance + amount WHERE id = payee RETURNING balance INTO payee_after;
    INSERT INTO transfer VALUES (wanted, payer, payee, amount, payer_after, payee_after);
    RETURN 'paid';
END
$$;
