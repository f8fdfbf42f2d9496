DROP TABLE deliveries;
DROP INDEX grants_to_warn_of;
DROP INDEX grants_to_report;
ALTER TABLE grants DROP COLUMN reported;
