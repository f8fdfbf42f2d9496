DROP TABLE deliveries;
DROP INDEX grants_to_warn_of;
DROP INDEX dead_grants_to_report;
DROP INDEX grants_to_report;
ALTER TABLE grants DROP COLUMN reported;
