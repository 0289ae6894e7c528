//! Recording from the shell: start, step, call, finish, exec.

use super::{Both, id, json};
use crate::support::{Output, Sandbox};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a shell script in which `asmm` is the program.
fn shell(sandbox: &Sandbox, script: &str) -> Output {
    let template = sandbox.command(&[]);
    let mut command = Command::new("sh");
    command.current_dir(sandbox.path()).env_clear().stdin(Stdio::null());
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let program = template.get_program().to_str().unwrap();
    command.env("ASMM", program);
    command.args(["-euc", &format!("asmm() {{ {program} \"$@\"; }}\n{script}")]);
    Output::from_process(&command.output().unwrap(), &[])
}

fn show(sandbox: &Sandbox, run: &str) -> Value {
    json(sandbox.run(&["runs", "show", run, "--format", "json"]))
}

fn status(sandbox: &Sandbox) -> Value {
    show(sandbox, "last")["status"].clone()
}

#[test]
fn a_shell_pipeline_is_a_run() {
    let both = Both::new();
    for sandbox in both.each() {
        let output = shell(
            sandbox,
            r#"
            export ASMM_RUN_ID=$(asmm runs start --pipeline nightly --label team=data --label 'why=a = b')
            export ASMM_STEP_ID=$(asmm runs step --step research --agent researcher --attempt 2)
            call=$(asmm runs call --provider openai --model gpt-4o --input 1000 --cache-read 200 --output 10 --latency-ms 90)
            asmm runs call --call-id "$call" --provider openai --model gpt-4o --input 1000 --cache-read 200 --output 10 --latency-ms 90 >/dev/null
            asmm runs call --provider openai --model gpt-4o --outcome error >/dev/null
            asmm runs finish --step-id "$ASMM_STEP_ID" --completed-at 2026-03-15T12:00:05Z
            asmm runs finish --completed-at 2026-03-15T12:00:07Z
            echo "$ASMM_RUN_ID"
            "#,
        );
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{}", output.snapshot());
        let run = show(sandbox, output.stdout.trim());
        assert_eq!(run["pipeline"], "nightly");
        assert_eq!(run["status"], "succeeded");
        assert_eq!(run["labels"], serde_json::json!({"team": "data", "why": "a = b"}));
        assert_eq!(run["completed_at"], "2026-03-15T12:00:07Z");
        assert_eq!(
            (run["llm_calls"].as_u64(), run["unpriced_calls"].as_u64()),
            (Some(2), Some(1)),
            "once each"
        );
        assert_eq!(run["estimated_cost_usd"], "0.00285");
        let step = &run["steps"][0];
        assert_eq!((&step["step"], &step["agent"]), (&"research".into(), &"researcher".into()));
        assert_eq!((&step["attempt"], &step["status"]), (&2.into(), &"succeeded".into()));
        assert_eq!(step["llm_calls"], 2);
        assert_eq!(run["spend"][0]["agent"], "researcher", "a call has its step's agent");
    }
}

#[test]
fn wrong_events_are_refused_and_say_why() {
    let both = Both::new();
    let (run, other, step) = (id(1), id(2), id(3));
    both.run(&["runs", "start", "--pipeline", "p", "--run-id", &run]).success();
    let call = |more: &[&str]| {
        both.snapshot(&[&["runs", "call", "--run-id", &run, "--model", "gpt-4o"], more].concat())
    };
    insta::assert_snapshot!(call(&["--output", "-3"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: invalid value '-3' for '--output <TOKENS>': invalid digit found in string

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(call(&["--step-id", &step]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: step `00000000-0000-7000-8000-000000000003` of run `00000000-0000-7000-8000-000000000001` is unknown
    hint: start it first: start_step, or `asmm runs step`
    ");
    insta::assert_snapshot!(call(&["--called-at", "2030-01-01T00:00:00Z"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `called_at` 2030-01-01T00:00:00Z is more than a day ahead
    hint: check the clock and the time zone of the machine that recorded it
    ");
    insta::assert_snapshot!(call(&["--called-at", "yesterday"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: --called-at `yesterday` is neither a day nor a time
    hint: write a day such as 2026-11-01, or a time with an offset such as 2026-11-01T12:00:00Z
    ");
    insta::assert_snapshot!(call(&["--agent", "a\nb"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `agent` holds the control character U+000A
    hint: names are one line of printable text
    ");
    both.run(&["runs", "call", "--run-id", &run, "--model", "gpt-4o", "--input", "1", "--call-id", &id(4)])
        .success();
    insta::assert_snapshot!(call(&["--input", "2", "--call-id", &id(4)]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: call `00000000-0000-7000-8000-000000000004` is already recorded with other contents
    hint: what is recorded stays; use a new call id for a new call
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "call", "--run-id", &other, "--model", "m"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: run `00000000-0000-7000-8000-000000000002` is unknown
    hint: start it first: start_run, or `asmm runs start --run-id`
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "start", "--pipeline", "q", "--run-id", &run]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: run `00000000-0000-7000-8000-000000000001` is already recorded with other contents
    hint: a run's pipeline, start, labels, parent and original never change; use a new run id
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "start", "--pipeline", "p", "--label", "team"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: --label `team` has no `=`
    hint: write --label team=data
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "finish", "--run-id", &run, "--status", "done"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: invalid value 'done' for '--status <STATUS>': status `done` is unknown

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "finish", "--run-id", &run, "--status", "running"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: status `running` does not finish anything
    hint: finish with succeeded, failed, cancelled or abandoned
    ");
    let at = ["--completed-at", "2026-03-15T12:30:00Z"];
    let finish =
        |status| both.run(&[&["runs", "finish", "--run-id", &run, "--status", status], &at[..]].concat());
    finish("failed").success();
    finish("failed").success();
    for sandbox in both.each() {
        let refused = sandbox.run(&["runs", "finish", "--run-id", &run, "--status", "succeeded"]);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stderr.contains("is already finished as `failed` at 2026-03-15"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("\nhint: a finished run stays as it is"), "{}", refused.stderr);
    }
    assert_eq!(both.json(&["runs", "show", &run])["llm_calls"], 1, "nothing refused was counted");
}

#[test]
fn exec_passes_the_run_and_the_exit_code_on() {
    let both = Both::new();
    for sandbox in both.each() {
        let exec =
            |script: &str| shell(sandbox, &format!("asmm runs exec --pipeline job -- sh -c '{script}'"));
        let output = exec("exit 5");
        assert_eq!((output.code, output.stderr.as_str()), (5, ""));
        assert_eq!(status(sandbox), "failed");
        assert_eq!(exec("exit 0").code, 0);
        assert_eq!(status(sandbox), "succeeded");
        assert_eq!(exec("kill -KILL $$").code, 137);
        assert_eq!(status(sandbox), "failed");
        assert_eq!(exec("kill -TERM $$").code, 143);
        assert_eq!(status(sandbox), "cancelled");
        assert_eq!(exec("yes | head -1").stdout, "y\n", "the command's pipes behave as ever");
        assert_eq!(exec("yes | head -1").stderr, "");

        // What the command records lands on its run; a run within a run is its child.
        let output = shell(
            sandbox,
            r#"
            export ASMM_STEP_ID=00000000-0000-7000-8000-00000000dead
            asmm runs exec --pipeline outer -- sh -c '
                echo "outer $ASMM_RUN_ID step ${ASMM_STEP_ID-none}"
                "$ASMM" runs call --provider openai --model gpt-4o --input 1000 >/dev/null
                "$ASMM" runs exec --pipeline inner -- sh -c "echo inner \$ASMM_RUN_ID"
            '"#,
        );
        assert_eq!(output.code, 0, "{}", output.snapshot());
        let words: Vec<&str> = output.stdout.split_whitespace().collect();
        let ["outer", outer, "step", "none", "inner", inner] = words[..] else { panic!("{words:?}") };
        assert_eq!(show(sandbox, outer)["llm_calls"], 1);
        assert_eq!(show(sandbox, inner)["parent_run_id"], outer);
        assert_eq!(show(sandbox, outer)["parent_run_id"], Value::Null);
    }
}

#[test]
fn exec_of_what_cannot_be_run() {
    let both = Both::new();
    insta::assert_snapshot!(both.snapshot(&["runs", "exec", "--pipeline", "job", "--", "no-such-command", "-x"]), @r"
    exit: 127
    --- stdout ---
    --- stderr ---
    error: `no-such-command` cannot be run: No such file or directory (os error 2)
    hint: is it installed, in PATH, and executable?
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "exec", "--pipeline", "job", "--", "/"]), @r"
    exit: 126
    --- stdout ---
    --- stderr ---
    error: `/` cannot be run: Permission denied (os error 13)
    hint: is it installed, in PATH, and executable?
    ");
    assert_eq!(status(&both.sqlite), "failed");
    insta::assert_snapshot!(both.snapshot(&["runs", "exec", "--pipeline", "", "--", "echo", "hi"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `pipeline` is empty
    hint: give `pipeline` a name
    ");
}

/// Starts `exec` of a script that says when it is there, sends `signal` to the program alone, and waits.
fn interrupted(sandbox: &Sandbox, script: &str, signal: &str) -> i32 {
    let mut child: Child = sandbox
        .command(&["runs", "exec", "--pipeline", "job", "--", "sh", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !sandbox.path().join("ready").exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "the command does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(sandbox.path().join("ready")).unwrap();
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Output::from_process(
        &std::process::Output { status: child.wait().unwrap(), stdout: vec![], stderr: vec![] },
        &[],
    )
    .code
}

#[test]
fn a_signal_to_exec_reaches_the_command_and_the_ledger() {
    let sandbox = super::sqlite();
    assert_eq!(interrupted(&sandbox, "touch ready; exec sleep 20", "-TERM"), 143);
    assert_eq!(status(&sandbox), "cancelled");
    let graceful = "trap 'exit 3' TERM; touch ready; while :; do sleep 0.02; done";
    assert_eq!(interrupted(&sandbox, graceful, "-TERM"), 3, "the command may end in its own way");
    assert_eq!(status(&sandbox), "failed");
    // Ctrl-C goes to the whole group; a SIGINT for the wrapper alone leaves the command to finish its work.
    assert_eq!(interrupted(&sandbox, "touch ready; sleep 0.3; exit 4", "-INT"), 4);
    assert_eq!(status(&sandbox), "failed");
}

#[test]
fn an_empty_id_in_the_environment_is_none() {
    let both = Both::new();
    for sandbox in both.each() {
        let output = shell(
            sandbox,
            "export ASMM_RUN_ID= ASMM_STEP_ID=
            run=$(asmm runs start --pipeline p)
            asmm runs call --run-id \"$run\" --model m >/dev/null
            asmm runs exec --pipeline p -- true",
        );
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{}", output.snapshot());
    }
}
