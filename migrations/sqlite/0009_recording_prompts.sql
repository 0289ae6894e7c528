-- In Postgres this creates the functions that record what was sent. SQLite has no functions of its own: the same
-- operations are transactions in src/store/sqlite.
select 1;
