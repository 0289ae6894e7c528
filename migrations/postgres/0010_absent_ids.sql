-- In SQLite this makes the ids that are not there null in the views; in Postgres they always were.
select 1;
