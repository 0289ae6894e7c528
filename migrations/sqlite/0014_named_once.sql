-- A batch that says each name once is a matter of the functions in Postgres; here there is nothing to do.
select 1;
