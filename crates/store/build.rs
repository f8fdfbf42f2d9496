//! Rebuilds the crate when a migration is added: the embedding macro sees only files it knows.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
