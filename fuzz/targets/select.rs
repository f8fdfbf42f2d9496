//! `$select` in query strings.
//!
//! Invariant: it only empties values, so that a second time changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::Select;
use serde_json::{Value, json};

fuzz_target!(|query: &str| {
    let answer = json!({"A": 1, "B": {"C": [{"D": 2, "E": {"": 3}}], "F": "x"}, "*": {"A": true}});
    for select in [Select::of_query(query), Select::parse(query)] {
        let mut selected = answer.clone();
        select.apply(&mut selected);
        assert!(is_part(&selected, &answer));
        assert!(!select.is_everything() || selected == answer);
        let mut again = selected.clone();
        select.apply(&mut again);
        assert_eq!(again, selected);
    }
});

fn is_part(selected: &Value, answer: &Value) -> bool {
    match (selected, answer) {
        (Value::Array(some), Value::Array(_)) if some.is_empty() => true,
        (Value::Number(some), Value::Number(_)) if some.as_u64() == Some(0) => true,
        (Value::Bool(false), Value::Bool(_)) => true,
        (Value::Object(some), Value::Object(all)) => {
            some.keys().eq(all.keys())
                && some.values().zip(all.values()).all(|(some, all)| is_part(some, all))
        }
        (Value::Array(some), Value::Array(all)) => {
            some.len() == all.len() && some.iter().zip(all).all(|(some, all)| is_part(some, all))
        }
        (some, all) => some.is_null() || some == all,
    }
}
