//! The rooms of a crate: the folders and files at its top, and their permitted imports.
//!
//! Invariant: a room uses only rooms that are listed below it, and no import cycle has more than three files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::imports::{self, Import, Path};

/// A folder or file at the top of a crate's sources.
struct Room {
    name: &'static str,
    /// Other crates that it must not name.
    never_sees: &'static [&'static str],
}

const fn room(name: &'static str) -> Room {
    Room { name, never_sees: &[] }
}

/// The rooms of each crate, from the top to the bottom.
const HOUSES: [(&str, &[Room]); 2] = [
    (
        "server",
        &[
            room("cli"),
            room("serve"),
            room("greeting"),
            room("reload"),
            room("telemetry"),
            room("scrape"),
            room("http"),
            room("state"),
            room("jobs"),
            Room { name: "webhooks", never_sees: &["actix_web", "actix_http"] },
            Room { name: "grants", never_sees: &["actix_web", "actix_http"] },
            room("certificates"),
            Room { name: "callers", never_sees: &["actix_web", "actix_http"] },
            room("issuer_keys"),
            Room { name: "outgoing", never_sees: &["actix_web", "actix_http"] },
            Room { name: "audit", never_sees: &["actix_web", "actix_http"] },
            room("first_user"),
            room("exposure"),
            room("signals"),
            room("error_text"),
            Room { name: "metrics", never_sees: &["actix_web", "actix_http"] },
            room("host"),
            room("expiry"),
            room("texts"),
            room("memory"),
            room("unprintable"),
            Room { name: "config", never_sees: &["actix_web", "actix_http"] },
        ],
    ),
    (
        "store",
        &[
            room("copies"),
            room("store"),
            room("unsaved"),
            room("keys"),
            room("write"),
            room("read"),
            room("tables"),
            room("quotas"),
            room("expiry_limits"),
            room("backend"),
            room("record_ids"),
            room("single_flight"),
            room("secret_file"),
            room("files"),
            Room { name: "seal", never_sees: &["diesel", "diesel_migrations", "tokio"] },
            room("clock"),
            room("figures"),
            room("error"),
        ],
    ),
];

/// The maximum number of files in an import cycle.
const CIRCLE: usize = 3;

/// The imports of a crate.
struct House {
    name: &'static str,
    rooms: &'static [Room],
    /// The imports of each file; a file is named by the path of its module.
    files: BTreeMap<Path, BTreeSet<Path>>,
    /// The other crates that each room names, with the file.
    outside: BTreeSet<(String, String, Path)>,
}

/// Returns the broken rules.
pub(crate) fn check(sources: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for house in houses(sources)? {
        let floor = |room: &str| house.rooms.iter().position(|known| known.name == room);
        for name in house.files.keys().filter_map(|file| file.first()) {
            if floor(name).is_none() {
                broken.push(format!(
                    "rooms: {}::{name} is in no room; name it in rooms.rs",
                    house.name
                ));
            }
        }
        for ((from, to), files) in house.arrows() {
            if floor(&from) > floor(&to) {
                broken.push(format!(
                    "rooms: {}::{from} must not use {to}: {}",
                    house.name,
                    files.join(", ")
                ));
            }
        }
        for (room, other, file) in &house.outside {
            if house
                .rooms
                .iter()
                .any(|known| known.name == room && known.never_sees.contains(&&**other))
            {
                broken.push(format!(
                    "rooms: {}::{room} must not see {other}: {}",
                    house.name,
                    file.join("::")
                ));
            }
        }
        for circle in house.circles().iter().filter(|circle| circle.len() > CIRCLE) {
            broken.push(format!("rooms: a circle in {} over {}", house.name, circle.join(", ")));
        }
    }
    broken.sort();
    broken.dedup();
    Ok(broken)
}

/// Prints which room uses which, upward imports first, and the import cycles of files.
pub(crate) fn print_graph(sources: &[&str]) -> anyhow::Result<()> {
    for house in houses(sources)? {
        let floor = |room: &str| house.rooms.iter().position(|known| known.name == room);
        let arrows = house.arrows();
        let up = arrows.keys().filter(|(from, to)| floor(from) > floor(to)).count();
        println!(
            "{}: {} files, {} arrows between rooms, {up} upward",
            house.name,
            house.files.len(),
            arrows.len()
        );
        for ((from, to), files) in &arrows {
            let mark = if floor(from) > floor(to) { "  UP" } else { "" };
            println!("  {from} -> {to} ({}){mark}", files.len());
        }
        for circle in house.circles() {
            println!("  circle of {}: {}", circle.len(), circle.join(", "));
        }
    }
    Ok(())
}

fn houses(sources: &[&str]) -> anyhow::Result<Vec<House>> {
    HOUSES.iter().map(|&(name, rooms)| House::read(name, rooms, sources)).collect()
}

impl House {
    fn read(name: &'static str, rooms: &'static [Room], sources: &[&str]) -> anyhow::Result<Self> {
        let start = format!("crates/{name}/src/");
        let mut files = BTreeMap::new();
        for source in sources {
            let Some(module) = source.strip_prefix(&start).and_then(module) else { continue };
            files.insert(module, imports::of(&fs::read_to_string(source)?)?);
        }
        Ok(Self::of(name, rooms, &files))
    }

    fn of(name: &'static str, rooms: &'static [Room], files: &BTreeMap<Path, Vec<Import>>) -> Self {
        let mut exports = BTreeMap::new();
        for (file, imports) in files {
            for import in imports.iter().filter(|import| import.is_exported) {
                if let (Some(path), Some(name)) = (absolute(import, file), import.path.last()) {
                    exports.insert([file.as_slice(), std::slice::from_ref(name)].concat(), path);
                }
            }
        }
        let is_module = |path: &[String]| files.contains_key(path);
        let mut house = Self { name, rooms, files: BTreeMap::new(), outside: BTreeSet::new() };
        for (file, imports) in files {
            let used = house.files.entry(file.clone()).or_default();
            // A module that re-exports items of its own modules does not use them.
            let is_below = |path: &Path| path.starts_with(file) && path.len() > file.len();
            for import in imports {
                match absolute(import, file) {
                    Some(path) => {
                        let target = target(path, &is_module, &exports);
                        if target != *file && !(import.is_exported && is_below(&target)) {
                            used.insert(target);
                        }
                    }
                    None => {
                        let room = file.first().cloned().unwrap_or_default();
                        house.outside.insert((room, import.path[0].clone(), file.clone()));
                    }
                }
            }
        }
        // The root declares the rooms, and uses none.
        house.files.remove(&Path::new());
        house
    }

    /// Returns the imports between rooms, each with its files.
    fn arrows(&self) -> BTreeMap<(String, String), Vec<String>> {
        let mut arrows: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (file, used) in &self.files {
            let rooms: BTreeSet<&String> = used.iter().filter_map(|path| path.first()).collect();
            for room in rooms.into_iter().filter(|room| **room != file[0]) {
                arrows.entry((file[0].clone(), room.clone())).or_default().push(file.join("::"));
            }
        }
        arrows
    }

    /// Returns the largest sets of files in which each file uses all others, directly or through others.
    fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&Path, BTreeSet<&Path>> =
            self.files.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, of_file) in &reached {
            let is_mutual =
                |other: &&&Path| reached.get(**other).is_some_and(|back| back.contains(file));
            let circle: Vec<String> =
                of_file.iter().filter(is_mutual).map(|path| path.join("::")).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reached_from<'a>(&'a self, file: &'a Path) -> BTreeSet<&'a Path> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            let used = self.files.get(file).into_iter().flatten();
            next.extend(used.filter(|used| reached.insert(*used)));
        }
        reached
    }
}

/// Returns the module of a file below `src`; `None` for tests.
fn module(file: &str) -> Option<Path> {
    let path = file.strip_suffix(".rs")?;
    let parts: Path = path.split('/').map(str::to_owned).collect();
    if path == "main" || parts.iter().any(|part| part == "tests") {
        return None;
    }
    Some(if path == "lib" { Path::new() } else { parts })
}

/// Returns the path from the crate's root; `None` if it is of another crate, or of the file itself.
fn absolute(import: &Import, file: &Path) -> Option<Path> {
    let path = &import.path;
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" if import.depth == 0 => Some([file.as_slice(), &path[1..]].concat()),
        "super" => {
            let count = path.iter().take_while(|part| *part == "super").count();
            let up = count.saturating_sub(import.depth).min(file.len());
            Some([&file[..file.len() - up], &path[count..]].concat())
        }
        _ => None,
    }
}

/// Returns the module that a path leads to, through re-exports.
fn target(
    mut path: Path,
    is_module: &dyn Fn(&[String]) -> bool,
    exports: &BTreeMap<Path, Path>,
) -> Path {
    // The bound ends a cycle of re-exports.
    for _ in 0..=exports.len() {
        let length = (0..=path.len()).rev().find(|length| is_module(&path[..*length])).unwrap_or(0);
        let name = &path[..path.len().min(length + 1)];
        match exports.get(name) {
            Some(exported) if exported != name => {
                path = [exported.as_slice(), &path[name.len()..]].concat();
            }
            _ => {
                path.truncate(length);
                break;
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: &[Room] = &[room("top"), Room { name: "low", never_sees: &["diesel"] }];

    fn house(files: &[(&str, &str)]) -> House {
        let read = |(file, source): &(&str, &str)| {
            (module(file).expect("a module"), imports::of(source).expect("it parses"))
        };
        House::of("store", ROOMS, &files.iter().map(read).collect())
    }

    #[test]
    fn exports_lead_to_where_a_thing_is() {
        let house = house(&[
            ("lib.rs", "pub use crate::top::inner::Thing;"),
            ("top.rs", "mod inner;"),
            ("top/inner.rs", "pub struct Thing; use super::Other;"),
            ("low.rs", "use crate::Thing; fn of(conn: diesel::Conn) {}"),
        ]);
        let arrow = ("low".to_owned(), "top".to_owned());
        assert_eq!(house.arrows(), BTreeMap::from([(arrow, vec!["low".to_owned()])]));
        let seen = house.outside.iter().map(|(room, other, _)| (room.as_str(), other.as_str()));
        assert_eq!(seen.collect::<Vec<_>>(), [("low", "diesel")]);
        assert!(house.circles().is_empty());
    }

    #[test]
    fn a_circle_is_found_once() {
        let house = house(&[
            ("top/a.rs", "use crate::top::b;"),
            ("top/b.rs", "use crate::low;"),
            ("low.rs", "use crate::top::a::Thing;"),
            ("low/alone.rs", "use super::Thing;"),
        ]);
        assert_eq!(house.circles(), [["low", "top::a", "top::b"].map(str::to_owned)]);
    }
}
