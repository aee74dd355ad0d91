-- events: changes as rows, for the sink `pg_table`.

create table if not exists {table} (
    id text primary key,
    channel text not null,
    operation text not null,
    payload jsonb not null,
    source text not null,
    created_at timestamptz not null
);
create index if not exists {index:channel} on {table} (channel);
create index if not exists {index:created_at} on {table} (created_at);
comment on table {table} is 'Kept by pgcdc: events. Not captured from a publication of all tables.';
