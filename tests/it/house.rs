//! The plan of the house, held by tests.

use std::fs;
use std::path::{Path, PathBuf};

/// From the outside in: a room may use rooms that stand later in the list, none that stand earlier.
const ROOMS: &[&str] = &[
    "cli", "node", "config", "api", "ui", "catalog", "engine", "dispatch", "journal", "cluster", "access", "secrets",
    "store", "observe", "clock", "model",
];

#[test]
fn rooms_only_use_rooms_further_in() {
    let mut wrong = Vec::new();
    for (place, room) in ROOMS.iter().enumerate() {
        for file in files_of(room) {
            let text = fs::read_to_string(&file).unwrap();
            for outer in &ROOMS[..place] {
                if text.contains(&format!("crate::{outer}::")) || text.contains(&format!("crate::{outer};")) {
                    wrong.push(format!("{} uses {outer}", file.display()));
                }
            }
            if text.contains("use crate::{") {
                wrong.push(format!("{} hides its imports from this test with `use crate::{{`", file.display()));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_stands_in_a_room() {
    let floor_plan = fs::read_to_string(source().join("lib.rs")).unwrap();
    let modules = floor_plan.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));

    for module in modules {
        assert!(ROOMS.contains(&module), "`{module}` has no place in the order of rooms");
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    let mut long = Vec::new();
    for folder in [source(), root().join("tests"), root().join("benches")] {
        for file in rust_files(&folder) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            if lines > 400 {
                long.push(format!("{} has {lines} lines", file.display()));
            }
        }
    }

    assert!(long.is_empty(), "each wants to be two: {long:#?}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn source() -> PathBuf {
    root().join("src")
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let single = source().join(format!("{room}.rs"));
    if single.is_file() { vec![single] } else { rust_files(&source().join(room)) }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(folder) else { return Vec::new() };
    let paths = items.map(|item| item.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
