ALTER TABLE users DROP COLUMN tenant_name;
