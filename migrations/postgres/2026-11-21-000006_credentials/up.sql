-- Audit events of this subject.
INSERT INTO audit_event_types (event_type) VALUES
    ('CREDENTIALS_CHANGED'),
    ('ENCRYPTION_KEY_ADDED'),
    ('ENCRYPTION_KEY_RETIRED'),
    ('KEYS_ROTATED'),
    ('SERVER_TESTED');

-- The master keys that this database knows, each with a canary that only it opens. The keys themselves are never here.
CREATE TABLE encryption_keys (
    key_id text NOT NULL,
    canary text NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    PRIMARY KEY (key_id)
);

-- What servers that the API made are logged in to with. Each secret is an envelope: sealed by a data key of its own, which
-- the master key `key_id` wraps, and bound to its row and column.
CREATE TABLE server_credentials (
    server_id uuid NOT NULL REFERENCES servers,
    key_id text REFERENCES encryption_keys,
    ssh_key_encrypted text,
    passphrase_encrypted text,
    password_encrypted text,
    become_password_encrypted text,
    certificate text,
    winrm_transport text CHECK (winrm_transport IN ('kerberos', 'ntlm', 'certificate')),
    winrm_use_ssl boolean,
    winrm_cert_validation boolean,
    domain text,
    updated_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (server_id),
    CONSTRAINT server_credentials_name_their_key CHECK (key_id IS NOT NULL OR (ssh_key_encrypted IS NULL
        AND passphrase_encrypted IS NULL AND password_encrypted IS NULL AND become_password_encrypted IS NULL))
);
CREATE INDEX server_credentials_key_id ON server_credentials (key_id);

-- The server through which this one is reached, the certificate of its key, and how its last test went, part by part.
ALTER TABLE servers ADD COLUMN certificate_file text;
ALTER TABLE servers ADD COLUMN bastion text;
ALTER TABLE servers ADD COLUMN last_connection_checks jsonb;
