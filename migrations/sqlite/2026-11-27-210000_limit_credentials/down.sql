CREATE INDEX credentials_by_user ON credentials (tenant, login);
DROP INDEX credentials_by_use;
