-- Phones: devices, how they are paired, what they are still to be told, what they told us; and
-- the inbox that they fill.

CREATE TABLE device (
  account_id    TEXT NOT NULL,
  id            TEXT NOT NULL, -- also the id of its channel
  name          TEXT NOT NULL,
  token_hash    TEXT NOT NULL UNIQUE,
  event_key     TEXT NOT NULL UNIQUE, -- of the address to which it sends its events
  push_token    TEXT,
  sim_cards     TEXT NOT NULL, -- JSON
  app_version   TEXT,
  health        TEXT, -- JSON: the last system:ping
  tells_server  INTEGER NOT NULL, -- the webhook list that it fetched holds our own address
  calls_webhooks INTEGER NOT NULL, -- it holds the account's webhooks instead
  created_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  last_seen     BIGINT NOT NULL,
  offline_since BIGINT, -- NULL: not known to be silent
  PRIMARY KEY (account_id, id)
) {clustered};
CREATE UNIQUE INDEX device_by_id ON device (id);
CREATE INDEX device_by_last_seen ON device (account_id, last_seen, id);

CREATE TABLE pairing_code (
  code       TEXT PRIMARY KEY,
  account_id TEXT NOT NULL,
  expires_at BIGINT NOT NULL
) {clustered};

-- What a phone must hear of even if it is out of reach now.
CREATE TABLE device_notice (
  account_id TEXT NOT NULL,
  device_id  TEXT NOT NULL,
  id         TEXT NOT NULL,
  event      TEXT NOT NULL,
  data       TEXT, -- JSON
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, device_id, id)
) {clustered};

-- What a phone has told us, each fact once.
CREATE TABLE phone_fact (
  account_id TEXT NOT NULL,
  device_id  TEXT NOT NULL,
  fact       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, device_id, fact)
) {clustered};
CREATE INDEX phone_fact_age ON phone_fact (created_at);

CREATE TABLE attachment (
  account_id   TEXT NOT NULL,
  inbound_id   TEXT NOT NULL,
  part_id      BIGINT NOT NULL,
  content_type TEXT NOT NULL,
  name         TEXT,
  size         BIGINT,
  data         TEXT, -- base64
  PRIMARY KEY (account_id, inbound_id, part_id)
) {clustered};

-- The numbers that have written to an account.
CREATE TABLE conversation (
  account_id TEXT NOT NULL,
  number     TEXT NOT NULL,
  last_at    BIGINT NOT NULL, -- of what they wrote
  received   BIGINT NOT NULL, -- how many of theirs are in the inbox
  PRIMARY KEY (account_id, number)
) {clustered};
CREATE INDEX conversation_by_time ON conversation (account_id, last_at, number);

CREATE INDEX recipient_by_number ON recipient (account_id, number);

ALTER TABLE inbound ADD COLUMN message_id TEXT; -- the phone's name for it
ALTER TABLE inbound ADD COLUMN subject TEXT;
ALTER TABLE inbound ADD COLUMN number TEXT NOT NULL DEFAULT ''; -- the sender, of a conversation
ALTER TABLE inbound ADD COLUMN kept_at BIGINT NOT NULL DEFAULT 0; -- by our clock
CREATE INDEX inbound_by_number ON inbound (account_id, number, created_at, id);
CREATE INDEX inbound_by_age ON inbound (account_id, kept_at);
-- JSON: what the account wants of its phones
ALTER TABLE account ADD COLUMN phones TEXT NOT NULL DEFAULT '{}';

-- What phones have fetched and not finished (a phone holds what stands in its lane), and how what
-- they reported on ended.
CREATE INDEX recipient_in_hand ON recipient (holder) WHERE holder = lane;
CREATE INDEX recipient_reported ON recipient (lane, updated_at)
  WHERE provider_ref = message_id AND due_at IS NULL;
