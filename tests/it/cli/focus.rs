//! `asmm export focus`: held against what the specification says of its columns, and against the ledger.

use super::{Both, Native, id};
use crate::support::{Output, Rows, Sandbox};
use asmm::domain::{Timestamp, Usd};
use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn specification() -> Value {
    let path = super::repository("tests/data/focus/focus-1.3.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn is_nullable(column: &str) -> bool {
    let specification = specification();
    let columns = specification["columns"].as_array().unwrap();
    columns.iter().any(|c| c["name"] == column && c["nullable"] == true)
}

fn focus(both: &Both, args: &[&str]) -> (Rows, Output) {
    let output = both.run(&[&["export", "focus"], args].concat());
    (Rows::from_csv(&output.stdout, is_nullable), output)
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

/// What is wrong with a value, by the type of its column.
fn wrong_type(kind: &str, value: &str) -> bool {
    match kind {
        "decimal" => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            !is_number(whole) || !is_number(part) || digits.len() > 39
        }
        "datetime" => !value.ends_with('Z') || value.parse::<DateTime<Utc>>().is_err(),
        "json" => !serde_json::from_str::<Value>(value).is_ok_and(|value| {
            value.as_object().is_some_and(|keys| keys.values().all(|v| !v.is_object() && !v.is_array()))
        }),
        "currency" => value.len() != 3 || !value.bytes().all(|b| b.is_ascii_uppercase()),
        "unit" => !value.starts_with(|c: char| c.is_ascii_uppercase()) || !value.ends_with('s'),
        "string" => value.trim() != value,
        other => panic!("the specification has no type {other}"),
    }
}

/// Everything that a table says against the specification.
fn complaints(rows: &Rows) -> Vec<String> {
    let specification = specification();
    let known: BTreeMap<&str, &Value> = specification["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].as_str().unwrap(), column))
        .collect();
    let mut wrong = Vec::new();
    for (name, column) in &known {
        if column["presence"] == "mandatory" && !rows.columns.iter().any(|c| c == name) {
            wrong.push(format!("{name} is mandatory"));
        }
    }
    let not_null_for_usage = words(&specification["not_null_for_usage"]);
    for name in &rows.columns {
        let Some(column) = known.get(name.as_str()) else {
            if !name.starts_with("x_") {
                wrong.push(format!("{name} is no column of the specification"));
            }
            continue;
        };
        let allowed = words(&column["allowed"]);
        for value in rows.column(name) {
            match value {
                None if column["nullable"] == false || not_null_for_usage.contains(&name.as_str()) => {
                    wrong.push(format!("{name} is null"));
                }
                Some(value) if !allowed.is_empty() && !allowed.contains(&value) => {
                    wrong.push(format!("{name} is `{value}`"));
                }
                Some(value) if wrong_type(column["type"].as_str().unwrap(), value) => {
                    wrong.push(format!("{name} is no {}: `{value}`", column["type"]));
                }
                _ => {}
            }
        }
    }
    for row in rows.named() {
        wrong.extend(contradictions(&specification, &row));
    }
    wrong
}

/// What the columns of a row say against each other.
fn contradictions(specification: &Value, row: &BTreeMap<&str, Option<&str>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let text = |name: &str| row[name].unwrap_or_default();
    let usd = |name: &str| text(name).parse::<Usd>().unwrap();
    let quantity: i128 = text("PricingQuantity").parse().unwrap();
    for (price, cost) in [("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")] {
        if usd(price).pico() * quantity != usd(cost).pico() {
            wrong.push(format!("{price} × PricingQuantity is not {cost}: {row:?}"));
        }
        if usd(price) < Usd::ZERO {
            wrong.push(format!("{price} is negative: {row:?}"));
        }
    }
    let time = |name: &str| text(name).parse::<DateTime<Utc>>().unwrap();
    let (start, end) = (time("BillingPeriodStart"), time("BillingPeriodEnd"));
    if start.day() != 1 || end != start.checked_add_months(chrono::Months::new(1)).unwrap() {
        wrong.push(format!("the billing period is no month: {row:?}"));
    }
    if time("ChargePeriodStart") >= time("ChargePeriodEnd")
        || time("ChargePeriodStart") < start
        || time("ChargePeriodEnd") > end
    {
        wrong.push(format!("the charge period is not within the billing period: {row:?}"));
    }
    let category = text("ServiceCategory");
    if !words(&specification["subcategories"][category]).contains(&text("ServiceSubcategory")) {
        wrong.push(format!("{category} has no such subcategory: {row:?}"));
    }
    if let Value::Object(details) = serde_json::from_str(text("SkuPriceDetails")).unwrap() {
        wrong.extend(
            details
                .keys()
                .filter(|k| k.starts_with("F_"))
                .map(|k| format!("{k} is not of the specification")),
        );
    }
    wrong
}

/// All that can be charged: every kind, fees, fallbacks, two prices of one model, a free one, and one without a price.
fn filled() -> Both {
    let both = Both::new();
    let all = r#"{"input":100,"cache_read":5,"cache_write":6,"cache_write_long":7,"output":8,"reasoning":9,"embedding":10,"web_searches":2}"#;
    let prices = "schema: asmm.prices/v1
prices:
  - provider: vllm
    model: our-llama
    usd_per_million: {input: 0.1, output: 0.25, embedding: 0.02}
    usd_per_thousand: {request: 1, web_search: 10}
    source: ours
  - provider: vllm
    model: our-llama
    effective_from: 2026-03-11
    usd_per_million: {input: 0.2, output: 0.5}
    source: ours
  - provider: vllm
    model: free
    usd_per_million: {input: 0, output: 0}
    source: ours
";
    let run = |n: u32, labels: &str| {
        format!(
            r#"{{"type":"run","run_id":"{}","pipeline":"enrichment","started_at":"2026-03-10T00:00:00Z","labels":{labels}}}"#,
            id(n)
        )
    };
    let lines = Native::default()
        .line(&run(1, r#"{"team":"data","ticket":"A-1"}"#))
        .line(&run(2, r#"{"team":"data","ticket":"A-2"}"#))
        .call_of(1, 10, "writer", ("vllm", "our-llama"), "2026-03-10T23:59:59.999999Z", all)
        .call_of(
            1,
            11,
            "writer",
            ("vllm", "our-llama"),
            "2026-03-11T00:00:00Z",
            r#"{"input":7,"cache_read":3,"output":1}"#,
        )
        .call_of(2, 12, "writer", ("vllm", "our-llama"), "2026-03-10T10:00:00Z", r#"{"input":1}"#)
        .call_of(2, 13, "", ("vllm", "free"), "2026-03-10T10:00:00Z", r#"{"input":1}"#)
        .call_of(2, 14, "", ("openai", "gpt-4o"), "2026-02-28T23:00:00Z", r#"{"input":3}"#)
        .call_of(2, 15, "", ("", "gpt-4o"), "2026-03-10T10:00:00Z", r#"{"input":3}"#)
        .call_of(2, 16, "", ("nobody", "knows-it"), "2026-03-10T10:00:00Z", r#"{"input":3}"#);
    for sandbox in both.each() {
        sandbox.file("prices.yaml", prices);
        sandbox.run(&["prices", "push", "prices.yaml"]).success();
        sandbox.run_with_input(&["import", "jsonl"], &lines.0).success();
    }
    both
}

#[test]
fn it_is_what_the_specification_says() {
    let both = filled();
    let (rows, output) = focus(&both, &[]);
    assert_eq!(complaints(&rows), Vec::<String>::new());
    assert_eq!(
        output.stderr,
        "warning: 1 of 7 calls have no price: what they cost is not known, and they are left out; `asmm prices missing`\n"
    );
    assert_eq!(output.code, 0);
    assert_eq!(focus(&both, &["--strict"]).1.code, 4);
    for sandbox in both.each() {
        let args = ["export", "focus", "--format", "parquet", "--output", "charges.parquet"];
        assert_eq!(sandbox.run(&args).code, 0);
        assert_eq!(Rows::from_parquet(&sandbox.path().join("charges.parquet")), rows);
    }
    // The check finds what is wrong.
    for (column, value, says) in [
        ("ChargeCategory", Some("Use"), "ChargeCategory is `Use`"),
        ("BilledCost", Some("1e3"), "BilledCost is no \"decimal\""),
        ("ListCost", Some("7"), "is not ListCost"),
        ("ServiceName", None, "ServiceName is null"),
        ("Tags", Some("x"), "Tags is no \"json\""),
        ("BillingPeriodEnd", Some("2026-03-09T00:00:00Z"), "is no month"),
    ] {
        let mut changed = focus(&both, &[]).0;
        let place = changed.columns.iter().position(|c| c == column).unwrap();
        changed.rows[0][place] = value.map(str::to_owned);
        let said = complaints(&changed);
        assert!(said.iter().any(|complaint| complaint.contains(says)), "{column}: {said:?}");
    }
    let mut without = focus(&both, &[]).0;
    without.columns[0] = "Cost".to_owned();
    let said = complaints(&without);
    assert!(said.contains(&"BilledCost is mandatory".to_owned()), "{said:?}");
    assert!(said.contains(&"Cost is no column of the specification".to_owned()), "{said:?}");
}

#[test]
fn the_sums_are_those_of_the_ledger() {
    let both = filled();
    for more in [&[][..], &["--pipeline", "enrichment"], &["--model", "our-llama"], &["--days", "6"]] {
        let (rows, _) = focus(&both, more);
        let range: &[&str] = if more.contains(&"--days") { &[] } else { &["--days", "30"] };
        let args = [&["spend", "model", "--tz", "UTC"][..], range, more].concat();
        let report = both.json(&args);
        let total: Usd = report["totals"]["estimated_cost_usd"].as_str().unwrap().parse().unwrap();
        for column in ["BilledCost", "EffectiveCost", "ListCost", "ContractedCost"] {
            assert_eq!(rows.sum(column), total, "{column} {more:?}");
        }
        // Tokens of each kind, too; searches and fees are requests.
        let of_unit = |meter: &str| -> u64 {
            let named = rows.named();
            let of = named.iter().filter(|row| row["SkuMeter"] == Some(meter));
            of.map(|row| row["ConsumedQuantity"].unwrap().parse::<u64>().unwrap()).sum()
        };
        if more.contains(&"our-llama") {
            let totals = &report["totals"];
            assert_eq!(of_unit("Output tokens"), totals["output_tokens"].as_u64().unwrap());
            assert_eq!(of_unit("Input tokens"), totals["input_tokens"].as_u64().unwrap());
            assert_eq!(of_unit("Web searches"), totals["web_searches"].as_u64().unwrap());
            assert_eq!(of_unit("Requests"), 2, "the newer price has no fee");
        }
    }
    // A day of charges per month and price.
    let (rows, _) = focus(&both, &["--model", "our-llama"]);
    let prices: BTreeSet<_> = rows.column("SkuPriceId").into_iter().flatten().collect();
    assert!(prices.contains("vllm/our-llama/standard/input@0.0000001"), "{prices:?}");
    assert!(prices.contains("vllm/our-llama/standard/input@0.0000002"), "{prices:?}");
    let (february, _) = focus(&both, &["--until", "2026-02-28"]);
    assert_eq!(february.column("BillingPeriodStart"), [Some("2026-02-01T00:00:00Z")]);
    assert_eq!(february.column("ChargePeriodEnd"), [Some("2026-03-01T00:00:00Z")]);
    let (cut, _) = focus(&both, &["--since", "2026-03-10T12:00:00Z", "--until", "2026-03-11T00:00:00Z"]);
    let start: Timestamp = cut.column("ChargePeriodStart")[0].unwrap().parse().unwrap();
    assert_eq!(start.to_string(), "2026-03-10T12:00:00Z");
}

#[test]
fn labels_become_tags() {
    let both = filled();
    let tags = |args: &[&str]| -> BTreeSet<String> {
        let args = [&["--model", "our-llama"], args].concat();
        focus(&both, &args).0.column("Tags").into_iter().flatten().map(str::to_owned).collect()
    };
    let of = |labels: &str| format!(r#"{{"asmm/agent":"writer","asmm/pipeline":"enrichment"{labels}}}"#);
    assert_eq!(
        tags(&[]),
        [of(r#","team":"data","ticket":"A-1""#), of(r#","team":"data","ticket":"A-2""#)].into()
    );
    assert_eq!(tags(&["--labels", "team,nothing"]), [of(r#","team":"data""#)].into());
    assert_eq!(tags(&["--labels"]), [of("")].into());
    let (all, _) = focus(&both, &[]);
    let (fewer, _) = focus(&both, &["--labels"]);
    assert_eq!(all.sum("BilledCost"), fewer.sum("BilledCost"));
    assert!(fewer.rows.len() < all.rows.len());
}

#[test]
fn an_empty_ledger_has_no_charges() {
    let both = Both::new();
    let (rows, output) = focus(&both, &["--strict"]);
    assert_eq!((rows.rows.len(), output.code, output.stderr.as_str()), (0, 0, ""));
    assert_eq!(complaints(&rows), Vec::<String>::new());
}

/// A cost that is not tokens × price is not written as if it were.
#[test]
fn a_changed_cost_is_told() {
    let sandbox: Sandbox = super::sqlite();
    sandbox.run_with_input(&["import", "jsonl"], &super::spend::sample()).success();
    super::doctor::tamper(
        &sandbox,
        &["update llm_call set cost_pico = cost_pico + 1 where agent = 'writer'"],
    );
    let output = sandbox.run(&["export", "focus", "--output", "x.csv"]);
    assert!(
        output.code == 1 && output.stderr.contains("`asmm doctor --full` names the calls"),
        "{}",
        output.snapshot()
    );
    assert!(sandbox.names().is_empty());
}
