-- In Postgres this creates the functions through which everything is written. SQLite has no functions of its
-- own: the same operations are transactions in src/store/sqlite.
select 1;
