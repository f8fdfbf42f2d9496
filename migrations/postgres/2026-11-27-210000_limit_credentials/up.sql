-- A user has a limited number of active credentials of a kind. New ones replace those that expire first.
CREATE INDEX credentials_by_use ON credentials (tenant, login, kind, expires);
DROP INDEX credentials_by_user;
