-- dead_letters: refused changes, for the dead-letter queue `pg_table`.
-- `letter` is adapter/event_id. `payload` is for people, and null if it cannot be had as jsonb; `rows` is what a replay uses.

create table if not exists {table} (
    id bigint generated always as identity primary key,
    letter text not null unique,
    event_id text not null,
    adapter text not null,
    error text not null,
    payload jsonb,
    created_at timestamptz not null default now(),
    replayed_at timestamptz,
    position text not null default '',
    channel text not null default '',
    transform text,
    named jsonb,
    rows bytea
);
create index if not exists {index:event_id} on {table} (event_id);
create index if not exists {index:created_at} on {table} (created_at);
comment on table {table} is 'Kept by pgcdc: dead letters. Not captured from a publication of all tables.';
