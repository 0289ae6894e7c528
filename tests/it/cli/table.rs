//! `asmm import csv`: any CSV, and a mapping.

use super::{Both, repository};
use std::fmt::Write as _;

const MAP: &str = "call_id=Request,called_at=Time,model=Model,input=Prompt,cache_read=Cached,output=Completion,reasoning=Reasoning,pipeline=Team";
const SET: [&str; 4] = ["--set", "provider=openai", "--set", "pipeline=other"];

fn both() -> Both {
    let Both { sqlite, postgres } = Both::new();
    let at = "2026-11-30T12:00:00Z";
    Both { sqlite: sqlite.with_now(at), postgres: postgres.with_now(at) }
}

/// Imports on both databases, which must say the same; shows it.
fn import(both: &Both, args: &[&str]) -> String {
    let output = both.run(&[&["import", "csv"], args].concat());
    output.snapshot().replace(env!("CARGO_MANIFEST_DIR"), "[repository]")
}

#[test]
fn a_row_is_a_call() {
    let both = both();
    let file = repository("tests/data/imports/calls.csv");
    let args = [&[&*file, "--map", MAP, "--includes", "cache,reasoning", "--tz", "Europe/Berlin"], &SET[..]]
        .concat();
    insta::assert_snapshot!(import(&both, &args), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: [repository]/tests/data/imports/calls.csv:6: `cache_read + cache_write` 200 is larger than the `input` 100 that includes it (does this source count the cache outside of its input? then fill the kinds one by one)
    skipped: [repository]/tests/data/imports/calls.csv:7: column `Time`: `yesterday` is not a time like `2026-11-20T12:00:00Z` (is it in epoch-seconds, epoch-millis or epoch-micros? --time says so)
    skipped: [repository]/tests/data/imports/calls.csv:8: column `Model` is empty
    skipped: [repository]/tests/data/imports/calls.csv:9: column `Prompt` is `-1`, not a count
    skipped: [repository]/tests/data/imports/calls.csv:10: the row has 8 columns instead of 10
    4 calls recorded in 3 runs, 0 were there already, 1 without a price, 5 skipped; 9 rows
    ");
    insta::assert_snapshot!(import(&both, &[&args[..], &["--strict"]].concat()), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    skipped: [repository]/tests/data/imports/calls.csv:6: `cache_read + cache_write` 200 is larger than the `input` 100 that includes it (does this source count the cache outside of its input? then fill the kinds one by one)
    skipped: [repository]/tests/data/imports/calls.csv:7: column `Time`: `yesterday` is not a time like `2026-11-20T12:00:00Z` (is it in epoch-seconds, epoch-millis or epoch-micros? --time says so)
    skipped: [repository]/tests/data/imports/calls.csv:8: column `Model` is empty
    skipped: [repository]/tests/data/imports/calls.csv:9: column `Prompt` is `-1`, not a count
    skipped: [repository]/tests/data/imports/calls.csv:10: the row has 8 columns instead of 10
    0 calls recorded in 3 runs, 4 were there already, 5 skipped; 9 rows
    ");
    let spend =
        ["spend", "model", "--by", "day,pipeline", "--tz", "UTC", "--since", "2026-11-01", "--format", "csv"];
    insta::assert_snapshot!(both.run(&spend).success(), @r"
    day,pipeline,provider,model,llm_calls,unpriced_calls,llm_tokens_input,cache_read_tokens,llm_tokens_output,reasoning_tokens,embedding_tokens,input_tokens,cache_write_tokens,cache_write_long_tokens,output_tokens,web_searches,estimated_cost_usd,share
    2026-11-21,other,openai,gpt-4o,1,0,1000,0,100,0,0,1000,0,0,100,0,0.0035,0.573113
    2026-11-20,search,openai,gpt-4o-2024-08-06,1,0,1200,1024,80,16,0,176,0,0,64,0,0.00252,0.412641
    2026-11-20,search,openai,gpt-4o-mini,1,0,500,0,20,0,0,500,0,0,20,0,0.000087,0.014246
    2026-11-21,search,openai,text-embedding-3-small,1,1,0,0,0,0,0,0,0,0,0,0,,
    ");
    insta::assert_snapshot!(both.run(&["runs", "list", "--tz", "UTC", "--since", "2026-11-01", "--format", "markdown"]).success(), @r"
    | run                                  | pipeline | status  | started             |      took | calls | unpriced |     input | of it cached |  output | of it reasoning |          cost |     share |
    | ------------------------------------ | -------- | ------- | ------------------- | --------: | ----: | -------: | --------: | -----------: | ------: | --------------: | ------------: | --------: |
    | 8c8cbc5d-1eda-55f1-a2c9-e594043b3b78 | other    | running | 2026-11-21 10:00:00 |  9 d 02 h |     1 |        0 |     1,000 |            0 |     100 |               0 |     $0.003500 |    57.3 % |
    | fe0ffeed-166e-5cf6-99a5-00857ef61748 | search   | running | 2026-11-21 08:00:00 |  9 d 04 h |     1 |        1 |         0 |            0 |       0 |               0 |      unpriced |         – |
    | 8c0bd5db-74ca-504c-8596-a534b6c02718 | search   | running | 2026-11-20 08:00:00 | 10 d 04 h |     2 |        0 |     1,700 |        1,024 |     100 |              16 |     $0.002607 |    42.7 % |
    | **total**                            |          |         |                     |           | **4** |    **1** | **2,700** |    **1,024** | **200** |          **16** | **$0.006107** | **100 %** |

    > 2026-11-01 – 2026-11-30 (30 days) · UTC (from --tz) · catalogue 2026-11-20 · 75.0 % of 4 calls priced
    >
    > **Warning:** 1 call (25.0 %) is unpriced and not in these sums: see `asmm prices missing`
    ");
    assert!(both.is_well());
}

#[test]
fn a_call_without_an_id_is_known_by_what_its_row_says() {
    let both = both();
    let head = "model,called_at,out,input\n";
    let row = "gpt-4o,1795168800,10,100\n";
    let other = "gpt-4o,1795168800,11,100\n";
    let args = |file: &str| -> Vec<String> {
        let map =
            ["--map", "model=model,called_at=called_at,output=out,input=input", "--time", "epoch-seconds"];
        std::iter::once(file).chain(map).map(str::to_owned).collect()
    };
    let say = |name: &str, text: &str| {
        both.write(name, text);
        let args = args(name);
        import(&both, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Two rows that say the same are two calls; the same rows in another file, order and with another column are the same calls.
    insta::assert_snapshot!(say("a.csv", &format!("{head}{row}{row}{other}")), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    3 calls recorded in 1 run, 0 were there already; 3 rows
    ");
    insta::assert_snapshot!(say("b.csv", &format!("{head}{other}{row}{row}")), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    0 calls recorded in 1 run, 3 were there already; 3 rows
    ");
    let more = "input,x,model,called_at,out\n100,a,gpt-4o,1795168800,10\n100,b,gpt-4o,1795168800.000,10\n100,c,gpt-4o,1795168800,10\n";
    insta::assert_snapshot!(say("c.csv", more), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    1 call recorded in 1 run, 2 were there already; 3 rows
    ");
}

#[test]
fn a_mapping_can_be_a_file() {
    let both = both();
    let mapping = "columns:\n  model: m\n  called_at: t\n  input: in\n  cache_read: hit\n  run: job\n  latency_ms: ms\n  response_id: id\n  outcome: how\nconstants:\n  provider: anthropic\n  agent: writer\n  pipeline: nightly\ntime: epoch-millis\nincludes: [nothing]\ndelimiter: ;\n";
    both.write("map.yaml", mapping);
    let rows = "m;t;in;hit;job;ms;id;how\nclaude-sonnet-4-5-20250929;1795168800123;10;500;00000000-0000-7000-8000-000000000001;12.0;msg_1;ok\nclaude-sonnet-4-5-20250929;1795168800124;7;;j-2;;msg_2;failed\n";
    both.write("calls.csv", rows);
    insta::assert_snapshot!(import(&both, &["calls.csv", "--mapping", "map.yaml", "--set", "agent=reader"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    2 calls recorded in 2 runs, 0 were there already; 2 rows
    ");
    insta::assert_snapshot!(both.run(&["runs", "show", "00000000-0000-7000-8000-000000000001", "--format", "json"]).success(), @r#"{"schema":"asmm.run/1","window":null,"time_zone":"UTC","catalogue":"2026-11-20","coverage":{"calls":1,"priced":1,"unpriced":0,"share":"1.000000"},"run_id":"00000000-0000-7000-8000-000000000001","pipeline":"nightly","status":"running","started_at":"2026-11-20T10:00:00.123Z","completed_at":null,"costed_at":null,"llm_calls":1,"unpriced_calls":0,"llm_tokens_input":510,"llm_tokens_output":0,"embedding_tokens":0,"estimated_cost_usd":"0.00018","spend":[{"agent":"reader","provider":"anthropic","model":"claude-sonnet-4-5-20250929","llm_calls":1,"unpriced_calls":0,"llm_tokens_input":510,"cache_read_tokens":500,"llm_tokens_output":0,"reasoning_tokens":0,"embedding_tokens":0,"input_tokens":10,"cache_write_tokens":0,"cache_write_long_tokens":0,"output_tokens":0,"web_searches":0,"estimated_cost_usd":"0.00018","share":"1.000000"}]}"#);
    // From stdin, and compressed.
    let output =
        both.run_with_input(&["import", "csv", "-", "--mapping", "map.yaml", "--set", "agent=reader"], rows);
    insta::assert_snapshot!(output.stderr, @"0 calls recorded in 2 runs, 2 were there already; 2 rows");
}

#[test]
fn what_cannot_be_read_is_said() {
    let both = both();
    let long = "x".repeat(300);
    let many = "y,".repeat(50);
    for (name, text) in [
        ("calls.csv", "Model,Time,In,Hit,Twice,Twice\ngpt-4o,2026-11-20T10:00:00Z,1,1,1,1\n".to_owned()),
        ("semicolon.csv", "Model;Time\n".to_owned()),
        ("many.csv", format!("{many}Model,Time\n")),
        ("empty.csv", "\n\n".to_owned()),
        ("quote.csv", format!("Model,Time\n\"gpt-4o,2026-11-20T10:00:00Z\ngpt-4o,{long}\n")),
        ("times.csv", "Model,Time\ngpt-4o,2026-11-20 10:00:00\ngpt-4o,1795168800\ngpt-4o,\ngpt-4o,2031-01-01T00:00:00Z\ngpt-4o,2026-03-29 02:30:00\n".to_owned()),
        ("map.yaml", "columns: {modell: x}\n".to_owned()),
        ("mapp.yaml", "kolumns: {}\n".to_owned()),
    ] {
        both.write(name, &text);
    }
    let plain = "model=Model,called_at=Time";
    let mut shown = String::new();
    for args in [
        vec!["calls.csv"],
        vec!["calls.csv", "--map", "model=Model"],
        vec!["calls.csv", "--map", "model=Modell,called_at=Time"],
        vec!["calls.csv", "--map", "modell=Model"],
        vec!["calls.csv", "--map", "model"],
        vec!["calls.csv", "--map", plain, "--map", "input=In,cache_read=Hit"],
        vec!["calls.csv", "--map", plain, "--map", "input=Twice"],
        vec!["calls.csv", "--map", plain, "--includes", "nothing,cache"],
        vec!["calls.csv", "--map", plain, "--delimiter", ";;"],
        vec!["calls.csv", "--map", plain, "--tz", "Berlin"],
        vec!["semicolon.csv", "--map", plain],
        vec!["many.csv", "--map", "model=Model,called_at=When"],
        vec!["empty.csv", "--map", plain],
        vec!["quote.csv", "--map", plain],
        vec!["times.csv", "--map", plain],
        vec!["times.csv", "--map", plain, "--tz", "Europe/Berlin"],
        vec!["nowhere.csv", "--map", plain],
        vec!["calls.csv", "--mapping", "map.yaml"],
        vec!["calls.csv", "--mapping", "mapp.yaml"],
        vec!["calls.csv", "--mapping", "nowhere.yaml"],
    ] {
        let output = both.run(&[&["import", "csv"], &args[..]].concat());
        assert_eq!(output.stdout, "");
        let said: Vec<&str> = output
            .stderr
            .lines()
            .take_while(|line| !line.starts_with("For more"))
            .filter(|line| !line.is_empty())
            .collect();
        writeln!(shown, "$ {}\n{}\n({})", args.join(" "), said.join("\n"), output.code).unwrap();
    }
    insta::assert_snapshot!(shown, @r"
    $ calls.csv
    error: no column is `model`
    hint: name it: --map model=COLUMN
    (2)
    $ calls.csv --map model=Model
    error: no column is `called_at`
    hint: name it: --map called_at=COLUMN
    (2)
    $ calls.csv --map model=Modell,called_at=Time
    error: `calls.csv` has no column `Modell`
    hint: it has: Model, Time, In, Hit, Twice, Twice
    (2)
    $ calls.csv --map modell=Model
    error: invalid value 'modell=Model' for '--map <WHAT=COLUMN,…>': `modell` is nothing that a column can be (it is one of provider, model, called_at, run, pipeline, agent, call_id, operation, service_tier, response_id, latency_ms, outcome, input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches)
    (2)
    $ calls.csv --map model
    error: invalid value 'model' for '--map <WHAT=COLUMN,…>': it is not of the form WHAT=VALUE
    (2)
    $ calls.csv --map model=Model,called_at=Time --map input=In,cache_read=Hit
    error: it is not said whether `input` is with the cached tokens
    hint: --includes cache,reasoning as OpenAI counts, --includes nothing as Anthropic does
    (2)
    $ calls.csv --map model=Model,called_at=Time --map input=Twice
    error: `calls.csv` has several columns `Twice`
    hint: give them different names in the first row
    (2)
    $ calls.csv --map model=Model,called_at=Time --includes nothing,cache
    error: --includes is `nothing` and something
    hint: name one or the other
    (2)
    $ calls.csv --map model=Model,called_at=Time --delimiter ;;
    error: the delimiter is not one character
    hint: such as `;`, `|` or `tab`
    (2)
    $ calls.csv --map model=Model,called_at=Time --tz Berlin
    error: `Berlin` is not a time zone
    hint: use an IANA name such as Europe/Berlin, America/New_York or UTC
    (2)
    $ semicolon.csv --map model=Model,called_at=Time
    error: `semicolon.csv` has no column `Model`
    hint: it has: Model;Time; is the delimiter not a comma? --delimiter says so
    (2)
    $ many.csv --map model=Model,called_at=When
    error: `many.csv` has no column `When`
    hint: it has: y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, and 12 more
    (2)
    $ empty.csv --map model=Model,called_at=Time
    error: `empty.csv` is empty: it has no head
    hint: the first row names the columns
    (1)
    $ quote.csv --map model=Model,called_at=Time
    skipped: quote.csv:2: the row ends inside of quotes
    0 calls recorded in 0 runs, 0 were there already, 1 skipped; 0 rows
    (0)
    $ times.csv --map model=Model,called_at=Time
    skipped: times.csv:2: column `Time`: `2026-11-20T10:00:00` has no offset from UTC (say its zone with --tz)
    skipped: times.csv:3: column `Time`: `1795168800` is not a time like `2026-11-20T12:00:00Z` (is it in epoch-seconds, epoch-millis or epoch-micros? --time says so)
    skipped: times.csv:4: column `Time` is empty
    skipped: times.csv:5: `called_at` 2031-01-01T00:00:00Z is more than a day ahead (check the clock and the time zone of the machine that recorded it)
    skipped: times.csv:6: column `Time`: `2026-03-29T02:30:00` has no offset from UTC (say its zone with --tz)
    0 calls recorded in 0 runs, 0 were there already, 5 skipped; 5 rows
    (0)
    $ times.csv --map model=Model,called_at=Time --tz Europe/Berlin
    skipped: times.csv:3: column `Time`: `1795168800` is not a time like `2026-11-20T12:00:00Z` (is it in epoch-seconds, epoch-millis or epoch-micros? --time says so)
    skipped: times.csv:4: column `Time` is empty
    skipped: times.csv:5: `called_at` 2031-01-01T00:00:00Z is more than a day ahead (check the clock and the time zone of the machine that recorded it)
    skipped: times.csv:6: column `Time`: `2026-03-29T02:30:00` does not exist in Europe/Berlin
    1 call recorded in 1 run, 0 were there already, 1 without a price, 4 skipped; 5 rows
    (0)
    $ nowhere.csv --map model=Model,called_at=Time
    error: `nowhere.csv` cannot be read: No such file or directory (os error 2)
    hint: name a file, or `-` for stdin
    (1)
    $ calls.csv --mapping map.yaml
    error: `map.yaml`: columns: `modell` is nothing that a column can be at line 1 column 10
    hint: it may hold `columns`, `constants`, `time`, `tz`, `includes`, `run_per` and `delimiter`
    (1)
    $ calls.csv --mapping mapp.yaml
    error: `mapp.yaml`: unknown field `kolumns`, expected one of `columns`, `constants`, `time`, `tz`, `includes`, `run_per`, `delimiter`
    hint: it may hold `columns`, `constants`, `time`, `tz`, `includes`, `run_per` and `delimiter`
    (1)
    $ calls.csv --mapping nowhere.yaml
    error: `nowhere.yaml` cannot be read: No such file or directory (os error 2)
    hint: name a YAML file
    (1)
    ");
}
