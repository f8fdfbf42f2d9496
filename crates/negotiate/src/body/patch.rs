//! JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396), applied to an empty object.
//!
//! Two deviations from RFC 6902 follow SuperOffice's documentation. A path may lack its first slash, and `replace` may
//! add a value.
//!
//! Invariant: the result exceeds the size of the patch at most by a fixed amount.

use json_patch::PatchOperation;
use serde_json::{Map, Value};

use super::{MAX_DEPTH, Malformed};

/// The maximum number of operations. Each may move a whole array.
const MAX_OPERATIONS: usize = 100;
/// The maximum memory for the copies of a patch, in bytes. Each copy could double the tree.
const MAX_COPIED: usize = 1 << 20;
/// The approximate memory of a map, in bytes, even with one member.
const NODE: usize = 640;

/// Applies an array of operations (RFC 6902). Paths have no case. An object is a plain request.
pub(super) fn json_patch(body: Value) -> Result<Value, Malformed> {
    match body {
        Value::Array(operations) => apply(Value::Object(Map::new()), operations),
        plain => Ok(plain),
    }
}

/// Applies a merge patch (RFC 7396). Members that are null are left out.
pub(super) fn merge_patch(body: Value) -> Value {
    merge(Value::Object(Map::new()), &body)
}

fn merge(mut target: Value, patch: &Value) -> Value {
    json_patch::merge(&mut target, patch);
    target
}

fn apply(mut target: Value, operations: Vec<Value>) -> Result<Value, Malformed> {
    if operations.len() > MAX_OPERATIONS {
        return Err(Malformed::PatchTooLarge(MAX_OPERATIONS));
    }
    let mut parsed = Vec::new();
    for (index, operation) in operations.into_iter().enumerate() {
        parsed.push(read(operation).ok_or(Malformed::PatchOperation(index + 1))?);
    }
    let mut copied = 0;
    for (index, operation) in parsed.iter().enumerate() {
        let failed = Malformed::PatchFailed(index + 1);
        if let PatchOperation::Copy(copy) = operation {
            copied += copy.from.resolve(&target).map(size).map_err(|_unfit| failed)?;
            if copied > MAX_COPIED {
                return Err(Malformed::PatchTooLarge(MAX_OPERATIONS));
            }
        }
        // A failed operation needs no undo, because the tree is then dropped.
        match operation {
            PatchOperation::Replace(replace) if replace.path.resolve(&target).is_err() => {
                if replace.path.tokens().count() > MAX_DEPTH {
                    return Err(Malformed::TooDeep(MAX_DEPTH));
                }
                let path = replace.path.tokens().map(|token| token.decoded().into_owned());
                put(&mut target, path, replace.value.clone()).ok_or(failed)?;
            }
            operation => json_patch::patch_unsafe(&mut target, std::slice::from_ref(operation))
                .map_err(|_unfit| failed)?,
        }
        // Checked after each operation: a copy of the root into itself doubles the depth, and trees are walked and
        // dropped by recursion.
        if depth(&target) > MAX_DEPTH {
            return Err(Malformed::TooDeep(MAX_DEPTH));
        }
    }
    Ok(target)
}

/// Reads an operation. Its paths get lower case, as the names of the tree, and a slash before them.
fn read(mut operation: Value) -> Option<PatchOperation> {
    for name in ["op", "path", "from"] {
        if let Some(Value::String(text)) = operation.get_mut(name) {
            text.make_ascii_lowercase();
            if name != "op" && !text.is_empty() && !text.starts_with('/') {
                text.insert(0, '/');
            }
        }
    }
    serde_json::from_value(operation).ok()
}

/// Puts a value at a path, with the objects around it. `None` if another value is on the path.
fn put(target: &mut Value, mut path: impl Iterator<Item = String>, value: Value) -> Option<()> {
    let Some(name) = path.next() else {
        *target = value;
        return Some(());
    };
    if target.is_null() {
        *target = Value::Object(Map::new());
    }
    put(target.as_object_mut()?.entry(name).or_insert(Value::Null), path, value)
}

/// The approximate memory of a copy, in bytes.
fn size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(members) if !members.is_empty() => {
                let of_member = |(name, value): (&String, _)| NODE / 5 + name.len() + size(value);
                NODE + members.iter().map(of_member).sum::<usize>()
            }
            _ => 0,
        }
}

/// The depth of nested arrays and objects.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;
    use rstest::rstest;
    use serde_json::json;

    fn patched(text: &str) -> Result<Value, Malformed> {
        json_patch(json::parse(text).expect(text))
    }

    /// CONTRACT 12: an array is a patch, an object a request; paths and operations in any case.
    #[test]
    fn a_request_is_patched_from_nothing() {
        let expected = json!({"carrier": {"provider": "et"}});
        for text in [
            r#"{"Carrier":{"Provider":"et"}}"#,
            r#"[{"op":"add","path":"/Carrier","value":{"Provider":"et"}}]"#,
            r#"[{"OP":"ADD","Path":"/CARRIER","Value":{}},
                {"op":"add","path":"/carrier/PROVIDER","value":"x"},
                {"op":"test","path":"/Carrier/Provider","value":"x"},
                {"op":"replace","path":"/Carrier/Provider","value":"et"}]"#,
            r#"[{"op":"replace","path":"Carrier/Provider","value":"et"}]"#,
            r#"[{"op":"replace","path":"/Carrier","value":null},
                {"op":"replace","path":"/Carrier/Provider","value":"x"},
                {"op":"replace","path":"carrier/provider","value":"et"}]"#,
            r#"[{"op":"add","path":"Carrier","value":{"Provider":"et"}},
                {"op":"test","path":"Carrier/Provider","value":"et"}]"#,
            r#"[{"op":"add","path":"/x","value":"et"},{"op":"add","path":"/Carrier","value":{}},
                {"op":"move","from":"/X","path":"/Carrier/Provider"}]"#,
        ] {
            assert_eq!(patched(text), Ok(expected.clone()), "{text}");
        }
        assert_eq!(patched("[]"), Ok(json!({})));
    }

    /// CONTRACT 12: all or nothing, `test` honoured; an error names the place.
    #[rstest]
    #[case(r#"[{"op":"add","path":"/a/b","value":1}]"#, Malformed::PatchFailed(1))]
    #[case(
        r#"[{"op":"add","path":"/a","value":1},{"op":"test","path":"/a","value":2}]"#,
        Malformed::PatchFailed(2)
    )]
    #[case(
        r#"[{"op":"add","path":"/a","value":1},{"op":"remove","path":"/b"}]"#,
        Malformed::PatchFailed(2)
    )]
    #[case(r#"[{"op":"copy","from":"/a","path":"/b"}]"#, Malformed::PatchFailed(1))]
    #[case(r#"[{"op":"add","path":"../a","value":1}]"#, Malformed::PatchFailed(1))]
    #[case(
        r#"[{"op":"add","path":"/a","value":[]},{"op":"replace","path":"/a/b","value":1}]"#,
        Malformed::PatchFailed(2)
    )]
    #[case(r#"[{"op":"remove","path":"a"}]"#, Malformed::PatchFailed(1))]
    #[case(r#"[{"op":"add","path":"/~2","value":1}]"#, Malformed::PatchOperation(1))]
    #[case(r#"[{"op":"add","path":"/a"}]"#, Malformed::PatchOperation(1))]
    #[case(r#"[{"op":"spam","path":"/a","value":1}]"#, Malformed::PatchOperation(1))]
    #[case(r#"[{"op":"move","path":"/a"}]"#, Malformed::PatchOperation(1))]
    #[case(r#"[{"path":"/a","value":1}]"#, Malformed::PatchOperation(1))]
    #[case(r#"[{"op":"add","path":1,"value":1}]"#, Malformed::PatchOperation(1))]
    #[case(r#"[1]"#, Malformed::PatchOperation(1))]
    fn a_bad_patch_is_refused(#[case] text: &str, #[case] expected: Malformed) {
        assert_eq!(patched(text), Err(expected), "{text}");
    }

    /// CONTRACT 12: `../` is a name like any other where a pointer may have it.
    #[test]
    fn a_path_does_not_climb() {
        let text =
            r#"[{"op":"add","path":"/..","value":{}},{"op":"add","path":"/../a","value":1}]"#;
        assert_eq!(patched(text), Ok(json!({"..": {"a": 1}})));
    }

    /// Thirty copies that each double the tree would make a billion values.
    #[test]
    fn copies_cannot_grow_without_end() {
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": {"x": "x"}})];
        for copy in 0..90 {
            operations.push(json!({"op": "copy", "from": "", "path": format!("/{copy}")}));
        }
        let body = json::parse(&Value::from(operations).to_string()).expect("JSON");
        assert_eq!(json_patch(body), Err(Malformed::PatchTooLarge(100)));
        let many = vec![json!({"op": "test", "path": "", "value": {}}); 101];
        assert_eq!(json_patch(many.into()), Err(Malformed::PatchTooLarge(100)));
    }

    /// A depth that doubles with every copy would overflow the stack, and end the process.
    #[test]
    fn copies_cannot_nest_without_end() {
        let mut operations = vec![json!({"op": "add", "path": "", "value": {"": {}}})];
        for doubled in 1..16 {
            let path = "/".repeat(1 << doubled);
            operations.push(json!({"op": "copy", "from": "", "path": path}));
        }
        assert_eq!(json_patch(operations.into()), Err(Malformed::TooDeep(32)));
    }

    /// Each object that `replace` makes is walked by recursion.
    #[test]
    fn paths_cannot_nest_without_end() {
        let deep = json!([{"op": "replace", "path": "/a".repeat(33), "value": 1}]);
        assert_eq!(json_patch(deep), Err(Malformed::TooDeep(32)));
        let deeper = json!([{"op": "replace", "path": "/a".repeat(100_000), "value": 1}]);
        assert_eq!(json_patch(deeper), Err(Malformed::TooDeep(32)));
    }

    #[test]
    fn moves_cannot_nest_without_end() {
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": {}})];
        for _ in 0..40 {
            operations.push(json!({"op": "add", "path": "/b", "value": {}}));
            operations.push(json!({"op": "move", "from": "/a", "path": "/b/c"}));
            operations.push(json!({"op": "move", "from": "/b", "path": "/a"}));
        }
        operations.truncate(100);
        assert_eq!(json_patch(operations.into()), Err(Malformed::TooDeep(32)));
    }

    /// One vector of the public suite at github.com/json-patch/json-patch-tests (Apache-2.0).
    #[derive(serde::Deserialize)]
    struct Vector {
        doc: Value,
        patch: Vec<Value>,
        /// Missing if the patch must fail.
        expected: Option<Value>,
    }

    /// CONTRACT 12: RFC 6902, by the public test suite. Left out are the vectors that the suite has
    /// disabled, and those that must fail for what is read here: `replace` of nothing, and no slash before a path.
    #[test]
    fn the_public_json_patch_suite_passes() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/rfc6902.json")).expect("vectors");
        assert!(vectors.len() > 80, "{}", vectors.len());
        for Vector { doc, patch, expected } in vectors {
            let shown = format!("{doc} {patch:?}");
            let is_read_here = |operation: &Value| {
                let path = operation["path"].as_str().unwrap_or_default();
                operation["op"] == "replace" || !path.is_empty() && !path.starts_with('/')
            };
            if expected.is_none() && patch.iter().any(is_read_here) {
                continue;
            }
            assert_eq!(apply(doc, patch).ok(), expected, "{shown}");
        }
    }

    /// CONTRACT 12: RFC 7396, appendix A.
    #[rstest]
    #[case(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}))]
    #[case(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}))]
    #[case(json!({"a": "b"}), json!({"a": null}), json!({}))]
    #[case(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}))]
    #[case(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}))]
    #[case(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}))]
    #[case(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}))]
    #[case(json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]}))]
    #[case(json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"]))]
    #[case(json!({"a": "b"}), json!(["c"]), json!(["c"]))]
    #[case(json!({"a": "foo"}), json!(null), json!(null))]
    #[case(json!({"a": "foo"}), json!("bar"), json!("bar"))]
    #[case(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}))]
    #[case(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}))]
    #[case(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}))]
    fn rfc_7396_appendix_a(#[case] original: Value, #[case] patch: Value, #[case] result: Value) {
        assert_eq!(merge(original, &patch), result);
    }

    /// CONTRACT 12: onto an empty request, nulls leave nothing.
    #[test]
    fn a_merge_patch_starts_from_nothing() {
        let body = json!({"carrier": {"provider": "et", "claims": null}, "x": null});
        assert_eq!(merge_patch(body), json!({"carrier": {"provider": "et"}}));
    }
}
