//! House rules, as tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A file of the repository.
fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The crate's source files, below `src`, without tests.
pub fn sources() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut places = vec![place("src")];
    while let Some(at) = places.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // `tests.rs` and `tests/` are compiled for tests only, and `fuzz/` for the fuzzer as well.
                places.extend((!path.ends_with("tests") && !path.ends_with("fuzz")).then_some(path));
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                let name = path.strip_prefix(place("src")).unwrap().to_owned();
                let mut source = fs::read_to_string(path).unwrap();
                source.truncate(source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len()));
                files.insert(name, source);
            }
        }
    }
    files
}

/// `floors["drain"] == 3`, as ARCHITECTURE.md draws them: a number begins a floor, and each line names rooms.
fn floors() -> BTreeMap<String, u32> {
    let drawing = text("ARCHITECTURE.md");
    let drawing = drawing.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a drawing");
    let (mut floors, mut floor) = (BTreeMap::new(), None);
    for line in drawing.lines() {
        floor = line.chars().next().and_then(|first| first.to_digit(10)).or(floor);
        let rooms = line.get(15..).expect("the rooms stand in one column").split("  ").next().unwrap_or_default();
        let floor = floor.expect("the first line has a number");
        floors.extend(rooms.split(", ").map(|room| (room.trim().to_owned(), floor)));
    }
    floors
}

/// What `lib.rs` gives a name at the root: `roots["Error"] == "error"`.
fn roots() -> BTreeMap<String, String> {
    let lib = text("src/lib.rs");
    let uses = lib.split("pub use ").skip(1).map(|rest| rest.split(';').next().expect("an end"));
    let names = uses.flat_map(|used| {
        let (room, names) = used.split_once("::").expect("a room's");
        let names = names.trim_matches(['{', '}']).split(',').map(str::trim);
        names.map(|name| (name.to_owned(), room.to_owned())).collect::<Vec<_>>()
    });
    names.collect()
}

/// What follows each `crate::`: one word, or those of a list in braces.
fn used(source: &str) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for path in source.split("crate::").skip(1) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let Some(list) = path.strip_prefix('{') else {
            used.insert(path.split(|c| !is_word(c)).next().expect("a word"));
            continue;
        };
        // The words that stand at the list's own depth, and not behind a `::`.
        let mut depth = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                c if depth == 0 && is_word(c) && !list[..at].ends_with(is_word) && !list[..at].ends_with("::") => {
                    used.insert(list[at..].split(|c| !is_word(c)).next().expect("a word"));
                }
                _ => {}
            }
        }
    }
    used
}

#[test]
fn each_module_uses_only_floors_beneath_its_own() {
    const GROUND: u32 = 0;
    let (floors, roots) = (floors(), roots());
    let mut wrong = Vec::new();
    for (file, source) in sources() {
        let room = file.components().next().expect("a name").as_os_str().to_string_lossy();
        let room = room.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let floor = *floors.get(room).unwrap_or_else(|| panic!("ARCHITECTURE.md does not know {room}"));
        for used in used(&source) {
            let used = roots.get(used).map_or(used, String::as_str);
            let below = *floors.get(used).unwrap_or_else(|| panic!("{}: what is crate::{used}?", file.display()));
            // What lies on the ground is plain data, and may be made of each other.
            if used != room && below >= floor && floor != GROUND {
                wrong.push(format!("{} (floor {floor}) uses {used} (floor {below})", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_paths_of_a_use_are_understood() {
    let source = "use crate::{\n    Error, drain::{Kind, Level},\n    name::Name,\n};\nuse crate::sys;\nfn f(_: crate::Cause) {}";
    assert_eq!(used(source), BTreeSet::from(["Cause", "Error", "drain", "name", "sys"]));
}

#[test]
fn only_sys_contains_unsafe_code() {
    let allows = |source: &str| source.contains("allow(unsafe_code");
    let sources = sources().into_iter().filter(|(_, source)| allows(source)).map(|(file, _)| file);
    assert_eq!(sources.collect::<Vec<_>>(), [Path::new("sys/mod.rs")]);
}

#[test]
fn no_source_file_is_longer_than_four_hundred_lines() {
    let lines = sources().into_iter().map(|(file, source)| (file, source.lines().count()));
    assert_eq!(lines.filter(|(_, lines)| *lines > 400).collect::<Vec<_>>(), []);
}

#[test]
fn the_program_in_the_readme_is_the_example() {
    let readme = text("README.md");
    let block = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(block.expect("a program"), text("examples/readme.rs"));
}

#[test]
fn every_example_is_named_in_the_readme() {
    let readme = text("README.md");
    for entry in fs::read_dir(place("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // That one is not named, but printed.
        assert!(name == "readme.rs" || readme.contains(&format!("`{name}`")), "{name}");
    }
}

/// It is what other generations and operators, already deployed, say and expect.
#[test]
fn what_was_recorded_of_version_1_has_not_changed() {
    // FNV-1a: any change is seen, and nobody means to deceive.
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let all = [
        ("src/wire/version1.txt", 0xd0c4_f938_45d5_cd97),
        ("src/wire/version1-path.txt", 0x0e82_4e10_b6e9_7d7d),
        ("src/wire/version1-state.txt", 0x9858_af56_67f3_dea8),
        ("src/wire/version1-handover.txt", 0x87d9_62e3_d358_bd93),
    ];
    for (file, expected) in all {
        let recorded = text(file).bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        assert_eq!(recorded, expected, "{file}: version 1 never changes: what is new is a new version");
    }
}
