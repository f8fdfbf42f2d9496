DROP TABLE database_identity;
DROP TABLE grants_paused;
DROP TABLE exchanges;
DROP TABLE provider_states;
DROP TABLE grants;
ALTER TABLE external_tokens DROP COLUMN access_expires;
