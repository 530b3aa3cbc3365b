-- Roles and users of the record. deploy/users fills in what stands between @ signs.
CREATE DATABASE IF NOT EXISTS @database@;

-- Nobody here may change, move or delete a row, nor drop a table: ALTER TABLE as a whole would hold
-- DELETE and UPDATE, so what of it is needed is named. Rows leave by their age (TTL) alone.

-- Makes the record's tables and their columns, adds rows, fences former writers off.
CREATE ROLE IF NOT EXISTS tickglass_may_record;
GRANT CREATE DATABASE, CREATE TABLE, SELECT ON @database@.* TO tickglass_may_record;
GRANT TABLE ENGINE ON MergeTree TO tickglass_may_record;
GRANT TABLE ENGINE ON AggregatingMergeTree TO tickglass_may_record;
GRANT TABLE ENGINE ON ReplacingMergeTree TO tickglass_may_record;
GRANT INSERT, ALTER CONSTRAINT ON @database@.events TO tickglass_may_record;
GRANT INSERT, ALTER CONSTRAINT ON @database@.blocks TO tickglass_may_record;
GRANT INSERT, ALTER CONSTRAINT ON @database@.alerts TO tickglass_may_record;
GRANT INSERT ON @database@.writers TO tickglass_may_record;
GRANT INSERT ON @database@.versions TO tickglass_may_record;
GRANT INSERT ON @database@.voids TO tickglass_may_record;
GRANT INSERT ON @database@.corrections TO tickglass_may_record;
GRANT INSERT ON @database@.bars TO tickglass_may_record;
GRANT INSERT ON @database@.books TO tickglass_may_record;
GRANT INSERT ON @database@.positions TO tickglass_may_record;
GRANT ALTER TTL, ALTER SETTINGS ON @database@.events TO tickglass_may_record;
GRANT ALTER ADD COLUMN, ALTER SETTINGS ON @database@.bars TO tickglass_may_record;
GRANT ALTER SETTINGS ON @database@.voids TO tickglass_may_record;
GRANT ALTER SETTINGS ON @database@.corrections TO tickglass_may_record;
GRANT SELECT ON system.processes TO tickglass_may_record;
GRANT SELECT ON system.parts TO tickglass_may_record;
GRANT SELECT ON system.merge_tree_settings TO tickglass_may_record;
GRANT SELECT ON system.disks TO tickglass_may_record;

-- The tape, and nothing of the record itself.
CREATE ROLE IF NOT EXISTS tickglass_may_tape;
GRANT CREATE DATABASE, CREATE TABLE, SELECT ON @database@.* TO tickglass_may_tape;
GRANT TABLE ENGINE ON MergeTree TO tickglass_may_tape;
GRANT TABLE ENGINE ON ReplacingMergeTree TO tickglass_may_tape;
GRANT INSERT, ALTER CONSTRAINT, ALTER TTL ON @database@.tape TO tickglass_may_tape;
GRANT INSERT, ALTER CONSTRAINT, ALTER TTL ON @database@.screens TO tickglass_may_tape;
GRANT INSERT, ALTER CONSTRAINT, ALTER TTL ON @database@.pages TO tickglass_may_tape;
GRANT INSERT, ALTER CONSTRAINT ON @database@.tape_seals TO tickglass_may_tape;
GRANT INSERT, ALTER CONSTRAINT ON @database@.acts TO tickglass_may_tape;
GRANT INSERT ON @database@.clocks TO tickglass_may_tape;
GRANT INSERT ON @database@.books TO tickglass_may_tape;
GRANT SELECT ON system.processes TO tickglass_may_tape;

-- Signed roots, and the word of live and record on each minute: seal and witness read all, and add
-- those rows.
CREATE ROLE IF NOT EXISTS tickglass_may_audit;
GRANT CREATE DATABASE, CREATE TABLE, SELECT ON @database@.* TO tickglass_may_audit;
GRANT TABLE ENGINE ON MergeTree TO tickglass_may_audit;
GRANT INSERT ON @database@.roots TO tickglass_may_audit;
GRANT INSERT ON @database@.digests TO tickglass_may_audit;
GRANT SELECT ON system.disks TO tickglass_may_audit;

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
