//! `$select`: the properties of an answer that the client wants (OData 4.01, part 2, §5.1.4).
//!
//! Invariant: a property that is not selected loses its value but is never missing. Selected properties are unchanged.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::query;

/// The maximum depth of a path. Longer paths are ignored.
const MAX_DEPTH: usize = 32;
const ALL: &str = "*";

/// A selection of properties, by paths of names that have no case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// The selected children; `None` if all are selected.
    children: Option<BTreeMap<String, Select>>,
}

impl Select {
    /// Selects all properties.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads `$select` from a query string, percent-encoded or not. The name has no case. Several of them add up.
    ///
    /// ```
    /// use negotiate::Select;
    ///
    /// let select = Select::of_query("x=1&%24select=Provider");
    /// assert_eq!(select, Select::parse("provider"));
    /// assert_eq!(Select::of_query(""), Select::everything());
    /// ```
    pub fn of_query(query: &str) -> Self {
        let pairs = query::pairs(query.strip_prefix('?').unwrap_or(query).as_bytes());
        let paths: Vec<String> = pairs
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"$select"))
            .map(|(_, value)| String::from_utf8_lossy(&value).into_owned())
            .collect();
        Self::parse(&paths.join(","))
    }

    /// Reads paths that are separated by commas, with slashes within a path. An empty text, and `*`, select everything.
    pub fn parse(paths: &str) -> Self {
        if paths.split(',').all(|path| path.trim().is_empty()) {
            return Self::everything();
        }
        let mut root = Self::nothing();
        for path in paths.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            let names: Vec<&str> = path.split('/').map(str::trim).collect();
            if names.len() <= MAX_DEPTH {
                root.add(&names);
            }
        }
        root
    }

    fn nothing() -> Self {
        Self { children: Some(BTreeMap::new()) }
    }

    fn add(&mut self, path: &[&str]) {
        match path {
            [] | [ALL] => self.children = None,
            [name, rest @ ..] => {
                if let Some(children) = &mut self.children {
                    let child = children.entry(name.to_ascii_lowercase());
                    child.or_insert_with(Self::nothing).add(rest);
                }
            }
        }
    }

    /// Whether all properties are selected.
    pub fn is_everything(&self) -> bool {
        self.children.is_none()
    }

    /// Empties the values that are not selected.
    ///
    /// Texts and objects become null. Arrays become empty, numbers 0 and booleans false, because typed clients cannot
    /// read null as one of these. A root that is neither an object nor an array is unchanged.
    ///
    /// ```
    /// use negotiate::Select;
    /// use serde_json::json;
    ///
    /// let mut answer = json!({"Provider": "et", "TableRight": {"Mask": "FULL", "Reason": ""}});
    /// Select::parse("provider, tableRight/mask").apply(&mut answer);
    /// let selected = json!({"Provider": "et", "TableRight": {"Mask": "FULL", "Reason": null}});
    /// assert_eq!(answer, selected);
    /// ```
    pub fn apply(&self, answer: &mut Value) {
        let Some(children) = &self.children else { return };
        match answer {
            Value::Object(members) => {
                for (name, value) in members {
                    match children.get(&name.to_ascii_lowercase()) {
                        Some(child) => child.apply_within(value),
                        None => clear(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            _ => {}
        }
    }

    /// Like `apply`, for a property. A value without properties is emptied if only properties of it are selected.
    fn apply_within(&self, value: &mut Value) {
        match value {
            Value::Object(_) | Value::Array(_) => self.apply(value),
            _ if self.is_everything() => {}
            _ => clear(value),
        }
    }
}

/// Empties a value. It keeps its type if null would change that.
fn clear(value: &mut Value) {
    *value = match value {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Number(_) => 0.into(),
        Value::Bool(_) => false.into(),
        Value::Null | Value::String(_) | Value::Object(_) => Value::Null,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// CONTRACT 17: paths, spaces, case, unknown names; a named parent keeps all its children.
    #[rstest]
    #[case("", json!({"A": "1", "B": {"C": 2, "D": {"E": 3}}, "F": [{"C": "4", "G": true}]}))]
    #[case("*", json!({"A": "1", "B": {"C": 2, "D": {"E": 3}}, "F": [{"C": "4", "G": true}]}))]
    #[case(" , ", json!({"A": "1", "B": {"C": 2, "D": {"E": 3}}, "F": [{"C": "4", "G": true}]}))]
    #[case("a", json!({"A": "1", "B": null, "F": []}))]
    #[case(" A , unknown ", json!({"A": "1", "B": null, "F": []}))]
    #[case("name,department,category/id", json!({"A": null, "B": null, "F": []}))]
    #[case("b", json!({"A": null, "B": {"C": 2, "D": {"E": 3}}, "F": []}))]
    #[case("b/*", json!({"A": null, "B": {"C": 2, "D": {"E": 3}}, "F": []}))]
    #[case("b/c", json!({"A": null, "B": {"C": 2, "D": null}, "F": []}))]
    #[case("B / D / e", json!({"A": null, "B": {"C": 0, "D": {"E": 3}}, "F": []}))]
    #[case("b/c,b", json!({"A": null, "B": {"C": 2, "D": {"E": 3}}, "F": []}))]
    #[case("b,b/c", json!({"A": null, "B": {"C": 2, "D": {"E": 3}}, "F": []}))]
    #[case("f/g", json!({"A": null, "B": null, "F": [{"C": null, "G": true}]}))]
    #[case("f/c", json!({"A": null, "B": null, "F": [{"C": "4", "G": false}]}))]
    #[case("a/x", json!({"A": null, "B": null, "F": []}))]
    #[case("/a", json!({"A": null, "B": null, "F": []}))]
    fn what_is_not_named_has_no_value(#[case] paths: &str, #[case] expected: Value) {
        let mut answer =
            json!({"A": "1", "B": {"C": 2, "D": {"E": 3}}, "F": [{"C": "4", "G": true}]});
        Select::parse(paths).apply(&mut answer);
        assert_eq!(answer, expected, "{paths}");
    }

    /// CONTRACT 17: no effect on an answer that is a string, or null.
    #[test]
    fn an_answer_without_properties_is_untouched() {
        for answer in [json!("lk_1"), json!(null)] {
            let mut selected = answer.clone();
            Select::parse("a").apply(&mut selected);
            assert_eq!(selected, answer);
        }
    }

    #[test]
    fn it_is_found_in_a_query() {
        for query in [
            "$select=a,b/c",
            "?$select=a,b/c",
            "x=1&$Select=a&$select=b/c",
            "%24select=a%2Cb%2Fc",
            "$select=a,+b/c",
        ] {
            assert_eq!(Select::of_query(query), Select::parse("a,b/c"), "{query}");
        }
        for query in ["", "x=1", "$select", "$select=", "select=a"] {
            assert!(Select::of_query(query).is_everything(), "{query}");
        }
    }

    #[test]
    fn very_many_and_very_deep_names_are_read_and_dropped() {
        let many: Vec<String> = (0..10_000).map(|name| format!("n{name}")).collect();
        let mut answer = json!({"N7": 1, "X": 2});
        Select::parse(&many.join(",")).apply(&mut answer);
        assert_eq!(answer, json!({"N7": 1, "X": 0}));
        drop(Select::parse(&"a/".repeat(50_000)));
    }
}
