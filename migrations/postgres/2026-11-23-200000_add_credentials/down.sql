DROP TABLE applications;
DROP TABLE credentials;
ALTER TABLE users DROP COLUMN version;
