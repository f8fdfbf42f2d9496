//! The alert rules and the dashboard in `deploy`, as Prometheus and Grafana read them.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use super::how_to::repository;
use crate::support::{
    app::Setup,
    parts::{has, leave_out},
    scrape::{Scrape, scraped},
};

const RULES: &str = include_str!("../../../deploy/prometheus/alerts.yaml");
const CASES: &str = include_str!("../../../deploy/prometheus/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/latchkey.json");
const PAGE: &str = include_str!("../../../docs/how-to/metrics.md");

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_of_name(character));
    words.filter(|word| word.starts_with("latchkey_") || word.starts_with("process_")).collect()
}

/// The names of the lines that scrapes have: of a histogram those of its three kinds of lines.
fn known_metrics() -> BTreeSet<String> {
    let app = scraped(Setup::new()).start();
    let families = Scrape::of(&app).families();
    let lines = families.into_iter().flat_map(|[name, kind, _help]| {
        let suffixes: &[&str] =
            if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}")).collect::<Vec<_>>()
    });
    lines.collect()
}

/// The names of the alerts.
fn alerts() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn promtool_accepts_the_rules_and_each_is_raised_by_its_case() {
    if !has("promtool") {
        return leave_out("the alert rules", "promtool");
    }
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(arguments).current_dir(repository("deploy/prometheus")).output();
        let output = output.expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Each alert has a case that raises it, one that does not, and a row in the book.
#[test]
fn each_alert_has_its_cases_and_a_row_in_the_book() {
    let alerts = alerts();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        let cases: Vec<&str> = CASES.split(&format!("alertname: {alert}\n")).skip(1).collect();
        let is_raised = |case: &&&str| case.trim_start().starts_with("exp_alerts:\n");
        assert_eq!((cases.len(), cases.iter().filter(is_raised).count()), (2, 1), "{alert}");
        assert!(PAGE.contains(&format!("| `{alert}` |")), "{alert} is not in the book");
    }
}

#[test]
fn rules_and_dashboard_name_metrics_that_a_scrape_has() {
    let known = known_metrics();
    for text in [RULES, CASES, DASHBOARD, PAGE] {
        let unknown: Vec<&str> =
            metrics_in(text).into_iter().filter(|name| !known.contains(*name)).collect();
        assert!(unknown.is_empty(), "no scrape has {unknown:?}");
    }
}

/// The dashboard is JSON. Its panels have their own ids and places, and Prometheus can read each of their queries.
#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    let mut queries = Vec::new();
    for panel in panels {
        let place = &panel["gridPos"];
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        assert!(places.insert((place["y"].as_u64(), place["x"].as_u64())), "{panel}");
        assert!(place["x"].as_u64().zip(place["w"].as_u64()).is_some_and(|(x, w)| x + w <= 24));
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(target["expr"].as_str().expect("a query"));
        }
    }
    assert!(queries.len() > 30, "{queries:?}");
    if !has("promtool") {
        return leave_out("the queries of the dashboard", "promtool");
    }
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(index, query)| {
            let query = query.replace("$__rate_interval", "5m");
            serde_json::json!({ "record": format!("dashboard:{index}"), "expr": query })
        })
        .collect();
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules.to_string()).expect("written");
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
