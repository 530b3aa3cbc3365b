-- Roles and users of the record. deploy/users fills in what stands between @ signs.
CREATE DATABASE IF NOT EXISTS @database@;

-- Makes and brings up to date the record's tables, and fences former writers off.
CREATE ROLE IF NOT EXISTS tickglass_may_record;
GRANT CREATE DATABASE, CREATE TABLE, DROP TABLE, ALTER TABLE, INSERT, SELECT ON @database@.* TO tickglass_may_record;
GRANT SELECT ON system.processes TO tickglass_may_record;
GRANT SELECT ON system.parts TO tickglass_may_record;
GRANT SELECT ON system.merges TO tickglass_may_record;

-- The tape, and nothing of the record itself.
CREATE ROLE IF NOT EXISTS tickglass_may_tape;
GRANT CREATE DATABASE, CREATE TABLE, SELECT ON @database@.* TO tickglass_may_tape;
GRANT INSERT, ALTER TABLE ON @database@.tape TO tickglass_may_tape;
GRANT INSERT, ALTER TABLE ON @database@.screens TO tickglass_may_tape;
GRANT INSERT, ALTER TABLE ON @database@.pages TO tickglass_may_tape;
GRANT INSERT, ALTER TABLE ON @database@.tape_seals TO tickglass_may_tape;
GRANT INSERT, ALTER TABLE ON @database@.acts TO tickglass_may_tape;
GRANT INSERT ON @database@.clocks TO tickglass_may_tape;
GRANT CREATE VIEW ON @database@.actions TO tickglass_may_tape;
GRANT SELECT ON system.processes TO tickglass_may_tape;

-- Signed roots: seal and witness read all and add one table's rows; nobody of them changes any.
CREATE ROLE IF NOT EXISTS tickglass_may_audit;
GRANT CREATE DATABASE, CREATE TABLE, SELECT ON @database@.* TO tickglass_may_audit;
GRANT INSERT ON @database@.roots TO tickglass_may_audit;

-- Pages look back and write nothing.
CREATE ROLE IF NOT EXISTS tickglass_may_web;
GRANT SELECT ON @database@.* TO tickglass_may_web;

CREATE USER IF NOT EXISTS tickglass_record IDENTIFIED WITH sha256_hash BY '@record@';
CREATE USER IF NOT EXISTS tickglass_tape IDENTIFIED WITH sha256_hash BY '@tape@';
CREATE USER IF NOT EXISTS tickglass_audit IDENTIFIED WITH sha256_hash BY '@audit@';
CREATE USER IF NOT EXISTS tickglass_web IDENTIFIED WITH sha256_hash BY '@web@';
GRANT tickglass_may_record TO tickglass_record;
GRANT tickglass_may_tape TO tickglass_tape;
GRANT tickglass_may_audit TO tickglass_audit;
GRANT tickglass_may_web TO tickglass_web;
