//! Files of prices: wrong ones, and those of other tools.

use super::Both;
use super::prices::{file, push};
use serde_json::json;

#[test]
fn wrong_files_are_refused_with_their_place() {
    let both = Both::new();
    let entry = |more: &str| push(&both, &file(&format!("  - {{provider: p, model: m, {more}}}\n")));
    insta::assert_snapshot!(entry("usd_per_million: {inptu: 1}"), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: prices.yaml:3:47: prices[0].usd_per_million: unknown field `inptu`, expected one of `input`, `cache_read`, `cache_write`, `cache_write_long`, `output`, `reasoning`, `embedding`
    hint: `asmm help prices push` shows the shape of the file
    ");
    insta::assert_snapshot!(entry("usd_per_million: {input: -1}"), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: prices.yaml: prices[0] (`p` `m`): `usd_per_million.input` is `-1`, not a price
    hint: write a plain decimal of dollars such as `2.50`, not finer than 0.000001
    ");
    insta::assert_snapshot!(entry("usd_per_million: {input: 1}, effective_from: 2026-02-30"), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: prices.yaml: prices[0] (`p` `m`): `effective_from` is `2026-02-30`, not a time
    hint: write a day (from midnight UTC on) such as `2026-03-01`, or `2026-03-01T09:00:00Z`
    ");
    insta::assert_snapshot!(push(&both, "just text"), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: prices.yaml:1:1: invalid type: string, expected the keys `schema` and `prices`
    hint: `asmm help prices push` shows the shape of the file
    "#);
    insta::assert_snapshot!(push(&both, &format!("# {}", "x".repeat(2 << 20))), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `prices.yaml` is larger than 1048576 bytes
    hint: split it; what several files hold adds up
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "push", "no-such.yaml"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `no-such.yaml` cannot be read: No such file or directory (os error 2)
    hint: name a file that is there
    ");
    assert_eq!(both.json(&["prices", "list", "--origin", "user"])["rows"], json!([]), "nothing was written");
    for sandbox in both.each() {
        sandbox.file("good.yaml", &file("  - {provider: p, model: m, usd_per_million: {input: 1}}"));
    }
    insta::assert_snapshot!(both.snapshot(&["prices", "push", "good.yaml", "--dry-run"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    1 price and 0 aliases read, nothing wrong; nothing was changed
    ");
    assert_eq!(both.json(&["prices", "list", "--origin", "user"])["rows"], json!([]));
}

#[test]
fn price_lists_of_other_tools() {
    let both = Both::new();
    for sandbox in both.each() {
        sandbox.file(
            "litellm.json",
            r#"{"sample_spec":{},"acme-1":{"litellm_provider":"acme","mode":"chat","input_cost_per_token":1e-06,"output_cost_per_token":2.5e-06},"acme-bad":{"litellm_provider":"acme","input_cost_per_token":-1},"dall":{"litellm_provider":"acme","mode":"image_generation"}}"#,
        );
        sandbox.file(
            "genai.json",
            r#"[{"id":"acme","name":"Acme","api_pattern":"acme","models":[{"id":"acme-2","match":{"equals":"acme-2"},"prices":{"input_mtok":3,"output_mtok":4}}]}]"#,
        );
    }
    insta::assert_snapshot!(both.snapshot(&["prices", "import", "litellm", "litellm.json", "--dry-run"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped acme-bad: `input_cost_per_token` is -1, not a whole number of picodollars
    skipped dall: it has no price per token
    1 price read, 2 entries skipped; nothing was changed
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "import", "litellm", "litellm.json"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped acme-bad: `input_cost_per_token` is -1, not a whole number of picodollars
    skipped dall: it has no price per token
    1 price written, 0 were there already
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "import", "genai-prices", "genai.json"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    1 price written, 0 were there already
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "import", "genai-prices", "litellm.json"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `litellm.json`: not genai-prices' price list: invalid type: map, expected a sequence at line 1 column 0
    hint: the file is `prices/data.json`
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "list", "acme", "--origin", "imported"]), @r"
    exit: 0
    --- stdout ---
    provider  model   tier      over input  from  input/1M  cached/1M  output/1M  origin
    ──────────────────────────────────────────────────────────────────────────────────────
    acme      acme-1  standard           –  –        $1.00          –      $2.50  imported
    acme      acme-2  standard           –  –        $3.00          –      $4.00  imported
    hidden at 100 columns: daily (UTC), write/1M, long write/1M, search/1k, request/1k, source
    catalogue 2026-11-20
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "list", "no-such-model"]), @r"
    exit: 0
    --- stdout ---
    no prices
    next: `asmm prices push` adds your own; without filters all are listed
    catalogue 2026-11-20
    --- stderr ---
    ");
}
