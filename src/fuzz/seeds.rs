//! The inputs that are kept: what is known to be good, what the fuzzer has found, and what has once failed. In `seeds/` there
//! is a file for each target, and in it a line for each input, as hexadecimal digits; what `#` begins says something of it.

use std::{collections::BTreeSet, fs, path::Path};

use super::TARGETS;

fn place() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuzz/seeds")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let path = place().join(format!("{target}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map(|line| line.split('#').next().expect("a first part").trim());
    let digits = |line: &str| {
        let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap_or_else(|error| panic!("{line}: {error}"));
        (0..line.len()).step_by(2).map(byte).collect()
    };
    lines.filter(|line| !line.is_empty()).map(digits).collect()
}

/// All in one process, as the fuzzer does it: also with what the inputs before have left in thread and runtime.
fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    for seed in &seeds {
        run(seed);
    }
    // And each of them cut off, as a peer that dies leaves it.
    for seed in &seeds {
        (0..seed.len()).step_by(seed.len() / 16 + 1).for_each(|end| run(&seed[..end]));
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*

        #[test]
        fn every_target_is_replayed_and_has_seeds() {
            let replayed = BTreeSet::from([$(stringify!($target).to_owned()),*]);
            assert_eq!(replayed, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
            let files = fs::read_dir(place()).unwrap().map(|entry| entry.unwrap().path());
            assert_eq!(replayed, files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect());
        }
    };
}

replays! { environment introduction listen notice predecessor successor visit wire }
