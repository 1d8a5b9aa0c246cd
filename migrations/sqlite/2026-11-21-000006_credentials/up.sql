-- Audit events of this subject.
INSERT INTO audit_event_types (event_type) VALUES
    ('CREDENTIALS_CHANGED'),
    ('ENCRYPTION_KEY_ADDED'),
    ('ENCRYPTION_KEY_RETIRED'),
    ('KEYS_ROTATED'),
    ('SERVER_TESTED');

-- The master keys that this database knows, each with a canary that only it opens. The keys themselves are never here.
CREATE TABLE encryption_keys (
    key_id TEXT NOT NULL,
    canary TEXT NOT NULL,
    created_at TEXT NOT NULL,
    retired_at TEXT,
    PRIMARY KEY (key_id)
) STRICT;

-- What servers that the API made are logged in to with. Each secret is an envelope: sealed by a data key of its own, which
-- the master key `key_id` wraps, and bound to its row and column.
CREATE TABLE server_credentials (
    server_id TEXT NOT NULL REFERENCES servers,
    key_id TEXT REFERENCES encryption_keys,
    ssh_key_encrypted TEXT,
    passphrase_encrypted TEXT,
    password_encrypted TEXT,
    become_password_encrypted TEXT,
    certificate TEXT,
    winrm_transport TEXT CHECK (winrm_transport IN ('kerberos', 'ntlm', 'certificate')),
    winrm_use_ssl INTEGER CHECK (winrm_use_ssl IN (0, 1)),
    winrm_cert_validation INTEGER CHECK (winrm_cert_validation IN (0, 1)),
    domain TEXT,
    updated_by TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (server_id),
    CONSTRAINT server_credentials_name_their_key CHECK (key_id IS NOT NULL OR (ssh_key_encrypted IS NULL
        AND passphrase_encrypted IS NULL AND password_encrypted IS NULL AND become_password_encrypted IS NULL))
) STRICT;
CREATE INDEX server_credentials_key_id ON server_credentials (key_id);

-- The server through which this one is reached, the certificate of its key, and how its last test went, part by part.
ALTER TABLE servers ADD COLUMN certificate_file TEXT;
ALTER TABLE servers ADD COLUMN bastion TEXT;
ALTER TABLE servers ADD COLUMN last_connection_checks TEXT CHECK (json_valid(last_connection_checks));
