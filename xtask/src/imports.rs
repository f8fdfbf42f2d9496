//! The modules of its crate, and the other crates, that a Rust file names.
//!
//! Invariant: paths are read from the tokens of the file, so that those in macros count, and those in comments and in
//! test modules do not.

use std::{iter::Peekable, str::FromStr};

use anyhow::anyhow;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree, token_stream::IntoIter};

/// A path such as `["crate", "seal", "Kek"]`.
pub(crate) type Path = Vec<String>;

/// A path that a file names.
pub(crate) struct Import {
    pub(crate) path: Path,
    /// The number of modules within the file around it, for `super`.
    pub(crate) depth: usize,
    /// Whether it is a `use` that re-exports the path, with this visibility or more.
    pub(crate) is_exported: bool,
}

/// Returns the paths that a file names, without its inner test modules.
pub(crate) fn of(source: &str) -> anyhow::Result<Vec<Import>> {
    let tokens = TokenStream::from_str(source).map_err(|error| anyhow!("{error}"))?;
    let mut imports = Vec::new();
    walk(tokens, 0, &mut imports);
    Ok(imports)
}

fn walk(tokens: TokenStream, depth: usize, imports: &mut Vec<Import>) {
    let mut tokens = tokens.into_iter().peekable();
    let (mut is_of_tests, mut is_public) = (false, false);
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "pub" => {
                is_public = true;
                if let Some(TokenTree::Group(_)) = tokens.peek() {
                    tokens.next();
                }
            }
            TokenTree::Ident(word) if word == "use" => {
                use_tree(&mut tokens, &[], (depth, is_public), imports);
                is_public = false;
            }
            TokenTree::Ident(word) if word == "mod" => {
                let _name = tokens.next();
                if let Some(TokenTree::Group(body)) = tokens.peek() {
                    if !is_of_tests {
                        walk(body.stream(), depth + 1, imports);
                    }
                    tokens.next();
                }
                (is_of_tests, is_public) = (false, false);
            }
            TokenTree::Ident(word) => {
                let mut path = vec![word.to_string()];
                while is_followed_by_colons(&mut tokens) {
                    match tokens.next() {
                        Some(TokenTree::Ident(word)) => path.push(word.to_string()),
                        Some(TokenTree::Group(group)) => walk(group.stream(), depth, imports),
                        _ => break,
                    }
                }
                if path.len() > 1 {
                    imports.push(Import { path, depth, is_exported: false });
                }
                is_public = false;
            }
            TokenTree::Group(group) => {
                is_of_tests |= is_cfg_test(&group);
                walk(group.stream(), depth, imports);
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => is_of_tests = false,
            _ => {}
        }
    }
}

/// Parses the tree after `use`, until its end, and adds paths that begin with `start`.
fn use_tree(
    tokens: &mut Peekable<IntoIter>,
    start: &[String],
    at: (usize, bool),
    imports: &mut Vec<Import>,
) {
    let (depth, is_exported) = at;
    let mut path = start.to_vec();
    let add = |path: &mut Path, imports: &mut Vec<Import>| {
        if path.len() > start.len() {
            imports.push(Import { path: path.clone(), depth, is_exported });
        }
        *path = start.to_vec();
    };
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => drop(tokens.next()),
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {
                imports.push(Import { path: path.clone(), depth, is_exported });
                path = start.to_vec();
            }
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                use_tree(&mut group.stream().into_iter().peekable(), &path, at, imports);
                path = start.to_vec();
            }
            TokenTree::Punct(mark) if mark.as_char() == ',' => add(&mut path, imports),
            TokenTree::Punct(mark) if mark.as_char() == ';' => break,
            _ => {}
        }
    }
    add(&mut path, imports);
}

fn is_followed_by_colons(tokens: &mut Peekable<IntoIter>) -> bool {
    for _ in 0..2 {
        match tokens.peek() {
            Some(TokenTree::Punct(mark)) if mark.as_char() == ':' => drop(tokens.next()),
            _ => return false,
        }
    }
    true
}

fn is_cfg_test(attribute: &Group) -> bool {
    attribute.delimiter() == Delimiter::Bracket && attribute.stream().to_string() == "cfg (test)"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[&str]) {
        let imports = of(source).expect("it parses");
        let paths: Vec<String> = imports.iter().map(|import| import.path.join("::")).collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn trees_paths_and_macros_are_read_and_tests_are_not() {
        check(
            "use crate::{error::chain, seal::{self, Kek as Key}, *};
             fn of(conn: crate::backend::Conn) -> Kek { on!(conn, |c| super::find::<u8>(c)) }
             // use crate::comment;
             mod inner { use super::super::up; }
             #[cfg(test)]
             mod tests { use crate::only_tests; }
             #[cfg(test)]
             mod more;
             use crate::last;",
            &[
                "crate::error::chain",
                "crate::seal",
                "crate::seal::Kek",
                "crate::backend::Conn",
                "super::find",
                "super::super::up",
                "crate::last",
            ],
        );
    }

    /// A single colon belongs to a type, and not to a path.
    #[test]
    fn a_type_is_no_path() {
        check("fn of(one: seal::Kek, two: u8) {}", &["seal::Kek"]);
    }
}
