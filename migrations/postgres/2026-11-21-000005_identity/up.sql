-- Who may log in. Removed ones stay: their names stand in the records, and are never given to another.
CREATE TABLE users (
    id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'engineer', 'admin')),
    scopes jsonb,
    password_hash text,
    password_changed_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_login_at timestamptz,
    disabled_at timestamptz,
    removed_at timestamptz,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX users_name ON users (name);

-- What a user's programs show instead of a password; only hashes are here.
CREATE TABLE api_tokens (
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL,
    prefix text NOT NULL,
    token_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'engineer', 'admin')),
    scopes jsonb,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    last_used_from text,
    revoked_at timestamptz,
    revoked_by text,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX api_tokens_token_hash ON api_tokens (token_hash);
CREATE INDEX api_tokens_user_id ON api_tokens (user_id);
CREATE UNIQUE INDEX api_tokens_user_id_name ON api_tokens (user_id, name) WHERE revoked_at IS NULL;

-- Who is logged in, or was; only hashes of the secrets are here.
CREATE TABLE sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('browser', 'command_line')),
    secret_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by text,
    ip_address text,
    user_agent text,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX sessions_secret_hash ON sessions (secret_hash);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_ends_at ON sessions (ends_at);

-- One-time tokens: to make the first admin (without a user), or for a user to choose a password.
CREATE TABLE setup_tokens (
    id uuid NOT NULL,
    token_hash text NOT NULL,
    user_id uuid REFERENCES users,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX setup_tokens_token_hash ON setup_tokens (token_hash);
CREATE INDEX setup_tokens_user_id ON setup_tokens (user_id);

-- How often a log-in failed, by account and by address.
CREATE TABLE login_failures (
    key text NOT NULL,
    count integer NOT NULL,
    last_at timestamptz NOT NULL,
    blocked_until timestamptz,
    PRIMARY KEY (key)
);
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
