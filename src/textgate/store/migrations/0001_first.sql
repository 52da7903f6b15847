-- Times are milliseconds since 1970, UTC. Text that is JSON is named so. `{clustered}` is what
-- SQLite needs to keep a table in the order of its key and PostgreSQL does not.

CREATE TABLE account (
  id                    TEXT PRIMARY KEY,
  login                 TEXT NOT NULL UNIQUE,
  password_hash         TEXT NOT NULL,
  created_at            BIGINT NOT NULL,
  settings              TEXT NOT NULL, -- JSON
  webhook_secret        TEXT NOT NULL,
  previous_secret       TEXT,
  previous_secret_until BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE token (
  account_id TEXT NOT NULL,
  id         TEXT NOT NULL,
  parent_id  TEXT,
  scopes     TEXT NOT NULL, -- joined by blanks
  refresh    INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT,
  PRIMARY KEY (account_id, id)
) {clustered};
CREATE INDEX token_expiry ON token (expires_at);

CREATE TABLE channel (
  account_id    TEXT NOT NULL,
  id            TEXT NOT NULL,
  name          TEXT NOT NULL,
  provider      TEXT NOT NULL,
  settings      TEXT NOT NULL, -- JSON
  enabled       INTEGER NOT NULL,
  position      INTEGER NOT NULL,
  max_in_flight INTEGER NOT NULL,
  rate          DOUBLE PRECISION,
  retry_waits   TEXT, -- JSON
  created_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  PRIMARY KEY (account_id, id)
) {clustered};
CREATE UNIQUE INDEX channel_by_id ON channel (id);

CREATE TABLE message (
  account_id      TEXT NOT NULL,
  id              TEXT NOT NULL,
  created_at      BIGINT NOT NULL,
  state           TEXT NOT NULL,
  text            TEXT,
  data            TEXT,
  port            INTEGER,
  encrypted       INTEGER NOT NULL,
  sim_number      INTEGER,
  delivery_report INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  valid_until     BIGINT,
  schedule_at     BIGINT,
  device_id       TEXT NOT NULL,
  fingerprint     TEXT NOT NULL,
  recipient_count INTEGER NOT NULL,
  parts           INTEGER NOT NULL,
  context         TEXT, -- JSON
  processed_at    BIGINT,
  sent_at         BIGINT,
  delivered_at    BIGINT,
  failed_at       BIGINT,
  cancelling_at   BIGINT,
  cancelled_at    BIGINT,
  PRIMARY KEY (account_id, id)
) {clustered};
CREATE INDEX message_by_time ON message (account_id, created_at, id);
CREATE INDEX message_by_state ON message (account_id, state, created_at, id);

CREATE TABLE recipient (
  account_id   TEXT NOT NULL,
  message_id   TEXT NOT NULL,
  n            INTEGER NOT NULL,
  number       TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('Pending', 'Processed', 'Sent', 'Delivered', 'Failed', 'Cancelling', 'Cancelled')),
  lane         TEXT NOT NULL, -- the channel that has it
  route        TEXT NOT NULL, -- channels still to try, joined by blanks
  attempt      INTEGER NOT NULL,
  base         INTEGER NOT NULL,
  due_at       BIGINT, -- next attempt, or the end of a lease; NULL: nothing is owed
  holder       TEXT, -- the process whose lease that is; NULL: nobody has it in hand
  deadline     BIGINT NOT NULL,
  uncertain    INTEGER NOT NULL, -- an attempt through this lane may have gone out, and never told
  provider_ref TEXT,
  reason       TEXT,
  error        TEXT,
  updated_at   BIGINT NOT NULL,
  PRIMARY KEY (account_id, message_id, n)
) {clustered};
CREATE INDEX recipient_due ON recipient (lane, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX recipient_by_ref ON recipient (lane, provider_ref) WHERE provider_ref IS NOT NULL;

CREATE TABLE send_attempt (
  account_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  n          INTEGER NOT NULL,
  attempt    INTEGER NOT NULL,
  channel_id TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  elapsed_ms DOUBLE PRECISION,
  outcome    TEXT, -- NULL: begun, and never reported
  reason     TEXT,
  code       TEXT,
  detail     TEXT,
  PRIMARY KEY (account_id, message_id, n, attempt)
) {clustered};

-- Receipts that came before the answer to the send they speak of.
CREATE TABLE early_receipt (
  lane       TEXT NOT NULL,
  ref        TEXT NOT NULL,
  state      TEXT NOT NULL,
  at         BIGINT NOT NULL,
  reason     TEXT,
  detail     TEXT,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (lane, ref, state)
) {clustered};
CREATE INDEX early_receipt_age ON early_receipt (created_at);

CREATE TABLE webhook (
  account_id      TEXT NOT NULL,
  id              TEXT NOT NULL,
  key             TEXT NOT NULL UNIQUE,
  url             TEXT NOT NULL,
  event           TEXT NOT NULL,
  device_id       TEXT,
  enabled         INTEGER NOT NULL,
  disabled_reason TEXT,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL,
  PRIMARY KEY (account_id, id)
) {clustered};

CREATE TABLE event (
  account_id TEXT NOT NULL,
  id         TEXT NOT NULL,
  type       TEXT NOT NULL,
  device_id  TEXT NOT NULL,
  message_id TEXT,
  payload    TEXT NOT NULL, -- JSON
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, id)
) {clustered};
CREATE INDEX event_by_message ON event (account_id, message_id) WHERE message_id IS NOT NULL;

CREATE TABLE delivery (
  account_id  TEXT NOT NULL,
  event_id    TEXT NOT NULL,
  lane        TEXT NOT NULL, -- webhook.key
  state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'held')),
  attempt     INTEGER NOT NULL,
  base        INTEGER NOT NULL,
  due_at      BIGINT,
  holder      TEXT,
  created_at  BIGINT NOT NULL,
  finished_at BIGINT,
  PRIMARY KEY (account_id, event_id, lane)
) {clustered};
CREATE INDEX delivery_by_lane ON delivery (lane, event_id);
CREATE INDEX delivery_due ON delivery (lane, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_stuck ON delivery (lane, state, event_id) WHERE state IN ('dead', 'held');

CREATE TABLE call_attempt (
  account_id TEXT NOT NULL,
  lane       TEXT NOT NULL,
  event_id   TEXT NOT NULL,
  attempt    INTEGER NOT NULL,
  started_at BIGINT NOT NULL,
  elapsed_ms DOUBLE PRECISION NOT NULL,
  status     INTEGER,
  ok         INTEGER NOT NULL,
  detail     TEXT,
  PRIMARY KEY (account_id, event_id, lane, attempt)
) {clustered};

CREATE TABLE inbound (
  account_id TEXT NOT NULL,
  id         TEXT NOT NULL,
  type       TEXT NOT NULL,
  device_id  TEXT NOT NULL,
  sender     TEXT NOT NULL,
  recipient  TEXT,
  sim_number INTEGER,
  content    TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, id)
) {clustered};
CREATE INDEX inbound_by_time ON inbound (account_id, created_at, id);

CREATE TABLE log_entry (
  account_id TEXT NOT NULL,
  id         BIGINT NOT NULL,
  priority   TEXT NOT NULL,
  module     TEXT NOT NULL,
  message    TEXT NOT NULL,
  context    TEXT NOT NULL, -- JSON
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, id)
) {clustered};
