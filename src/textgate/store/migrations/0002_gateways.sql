-- Authgear's gateway, both sides: ingresses, the account's own gateway, scripts, templates; and what
-- proves that the master key is the one that sealed the secrets.

CREATE TABLE ingress (
  account_id         TEXT NOT NULL,
  id                 TEXT NOT NULL,
  key                TEXT NOT NULL UNIQUE, -- of its address
  previous_key       TEXT UNIQUE,
  previous_key_until BIGINT NOT NULL DEFAULT 0,
  dialect            TEXT NOT NULL,
  name               TEXT NOT NULL,
  enabled            INTEGER NOT NULL,
  secrets            TEXT NOT NULL, -- JSON, sealed
  allow_unsigned     INTEGER NOT NULL,
  budget_ms          BIGINT NOT NULL,
  on_timeout         TEXT NOT NULL,
  validity_ms        BIGINT NOT NULL,
  channel_id         TEXT,
  created_at         BIGINT NOT NULL,
  updated_at         BIGINT NOT NULL,
  PRIMARY KEY (account_id, id)
) {clustered};

CREATE TABLE sms_gateway (
  account_id TEXT PRIMARY KEY,
  enabled    INTEGER NOT NULL,
  provider   TEXT NOT NULL,
  channels   TEXT NOT NULL, -- JSON: the channel of each provider that was ever set up
  updated_at BIGINT NOT NULL
) {clustered};

CREATE TABLE script_version (
  account_id TEXT NOT NULL,
  channel_id TEXT NOT NULL,
  n          INTEGER NOT NULL,
  source     TEXT NOT NULL,
  modules    TEXT NOT NULL, -- JSON
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, channel_id, n)
) {clustered};

CREATE TABLE template (
  account_id TEXT NOT NULL,
  name       TEXT NOT NULL,
  language   TEXT NOT NULL,
  text       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, name, language)
) {clustered};

CREATE TABLE vault (
  id    INTEGER PRIMARY KEY, -- always 1
  proof TEXT NOT NULL
);

-- JSON
ALTER TABLE send_attempt ADD COLUMN trace TEXT;
