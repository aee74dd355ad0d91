-- state: pgcdc's durable memory, for the checkpoint store `postgres`.
-- A key without a value was removed; its row stays, so that its versions are never used again.

create table if not exists {table} (
    key text primary key,
    version bigint not null check (version > 0),
    value bytea,
    updated_at timestamptz not null default now()
);
comment on table {table} is 'Kept by pgcdc: state. Not captured from a publication of all tables.';
