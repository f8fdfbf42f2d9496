-- A user has a limited number of living credentials of a kind; those that expire first end for new ones.
CREATE INDEX credentials_by_use ON credentials (tenant, login, kind, expires);
DROP INDEX credentials_by_user;
