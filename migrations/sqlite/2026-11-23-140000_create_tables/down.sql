DROP TABLE external_tokens;
DROP TABLE keks;
DROP TABLE users;
