DROP TABLE audit_links;
