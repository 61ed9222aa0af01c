-- A role of Postgres that may read everything tracker remembers, and write nothing: for dashboards and for people.
--
-- Run it in tracker's database, as the role that tracker itself uses (or a superuser, with `SET ROLE` to that role
-- first): default privileges belong to the role that makes the tables and the views. Running it again is harmless.
--
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f readonly.sql
--
-- Whoever may create roles makes a login of it for each tool or person. The timeouts matter: a query that stays open
-- keeps Postgres from cleaning up behind the orders that are written all the time.
--
--     CREATE ROLE grafana LOGIN PASSWORD '…' IN ROLE tracker_reader;
--     ALTER ROLE grafana SET statement_timeout = '60s';
--     ALTER ROLE grafana SET idle_in_transaction_session_timeout = '60s';
--     ALTER ROLE grafana SET default_transaction_read_only = on;

BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tracker_reader') THEN
        CREATE ROLE tracker_reader NOLOGIN;  -- without the right to: have it made once, then run this again
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO tracker_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO tracker_reader;  -- views are among them

-- Every upgrade makes the views anew, and may bring tables: those can be read as soon as they are there.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO tracker_reader;

COMMIT;
