-- Who may log in. Removed ones stay: their names stand in the records, and are never given to another.
CREATE TABLE users (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'engineer', 'admin')),
    scopes TEXT CHECK (json_valid(scopes)),
    password_hash TEXT,
    password_changed_at TEXT,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    last_login_at TEXT,
    disabled_at TEXT,
    removed_at TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX users_name ON users (name);

-- What a user's programs show instead of a password; only hashes are here.
CREATE TABLE api_tokens (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'engineer', 'admin')),
    scopes TEXT CHECK (json_valid(scopes)),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    last_used_at TEXT,
    last_used_from TEXT,
    revoked_at TEXT,
    revoked_by TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX api_tokens_token_hash ON api_tokens (token_hash);
CREATE INDEX api_tokens_user_id ON api_tokens (user_id);
CREATE UNIQUE INDEX api_tokens_user_id_name ON api_tokens (user_id, name) WHERE revoked_at IS NULL;

-- Who is logged in, or was; only hashes of the secrets are here.
CREATE TABLE sessions (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users,
    kind TEXT NOT NULL CHECK (kind IN ('browser', 'command_line')),
    secret_hash TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    ended_at TEXT,
    ended_by TEXT,
    ip_address TEXT,
    user_agent TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX sessions_secret_hash ON sessions (secret_hash);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_ends_at ON sessions (ends_at);

-- One-time tokens: to make the first admin (without a user), or for a user to choose a password.
CREATE TABLE setup_tokens (
    id TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    user_id TEXT REFERENCES users,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX setup_tokens_token_hash ON setup_tokens (token_hash);
CREATE INDEX setup_tokens_user_id ON setup_tokens (user_id);

-- How often a log-in failed, by account and by address.
CREATE TABLE login_failures (
    key TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_at TEXT NOT NULL,
    blocked_until TEXT,
    PRIMARY KEY (key)
) STRICT;
CREATE INDEX login_failures_last_at ON login_failures (last_at);

INSERT INTO audit_event_types (event_type) VALUES
    ('USER_CREATED'),
    ('USER_UPDATED'),
    ('USER_DELETED'),
    ('USER_RESET'),
    ('SETUP_TOKEN_CREATED'),
    ('SETUP_COMPLETED'),
    ('PASSWORD_CHANGED'),
    ('LOGIN_SUCCEEDED'),
    ('LOGIN_FAILED'),
    ('LOGIN_THROTTLED'),
    ('LOGGED_OUT'),
    ('SESSION_ENDED'),
    ('TOKEN_CREATED'),
    ('TOKEN_REVOKED');
