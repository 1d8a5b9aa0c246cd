ALTER TABLE servers DROP COLUMN last_connection_checks;
ALTER TABLE servers DROP COLUMN bastion;
ALTER TABLE servers DROP COLUMN certificate_file;
DROP TABLE server_credentials;
DROP TABLE encryption_keys;
DELETE FROM audit_event_types WHERE event_type IN ('CREDENTIALS_CHANGED', 'ENCRYPTION_KEY_ADDED', 'ENCRYPTION_KEY_RETIRED', 'KEYS_ROTATED', 'SERVER_TESTED');
