-- Who may do what. Roles belong to the whole server, so they may be there already, or the migrating user
-- may not be allowed to make them: then the schema comes without grants, and says so.

do $$
declare
  ledger constant text := quote_ident(current_schema());
  role_name text;
begin
  execute format('revoke all on all functions in schema %s from public', ledger);

  foreach role_name in array array['asmm_writer', 'asmm_reader', 'asmm_operator'] loop
    if not exists (select 1 from pg_roles where rolname = role_name) then
      begin
        execute format('create role %I nologin', role_name);
      exception
        when duplicate_object or unique_violation then
          null;
        when insufficient_privilege then
          raise warning 'role % is missing and % may not create it; its grants are left out, see RUNBOOK.md',
            role_name, current_user;
      end;
    end if;
  end loop;

  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    execute format('grant usage on schema %s to asmm_writer', ledger);
    grant execute on function start_run, start_step, record_calls, record_call_rows, finish_step, finish_run
      to asmm_writer;
    grant select on _sqlx_migrations, price_catalogue to asmm_writer;
  end if;

  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    execute format('grant usage on schema %s to asmm_reader', ledger);
    grant select on status_lookup, price_catalogue, model_price, model_alias, pipeline_run, pipeline_step_run, llm_call,
      spend_rollup, price_event, guard_event, prompt, prompt_label, v_run, v_call, v_spend, v_model_alias,
      journal_spend, _sqlx_migrations
      to asmm_reader;
  end if;

  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    execute format('grant usage on schema %s to asmm_operator', ledger);
    execute format('grant select on all tables in schema %s to asmm_operator', ledger);
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
    grant insert on price_catalogue, model_price, model_alias, prompt, prompt_version, prompt_label, prompt_text, guard_event
      to asmm_operator;
  end if;
end $$;
