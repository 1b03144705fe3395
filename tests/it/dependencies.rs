//! What whoever uses the crate compiles with it: house rules, as tests. They read the lock file and the manifests that cargo
//! has at hand, and ask no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

/// What cargo builds for the default features, build scripts' and macros' own dependencies among them. One more is one
/// more that every user compiles and trusts: it is written here by whoever has decided that it is worth that.
const DEFAULT: [&str; 36] = [
    "atomic-waker",
    "autocfg",
    "bitflags",
    "bytes",
    "cfg-if",
    "cfg_aliases",
    "errno",
    "futures-core",
    "futures-sink",
    "http",
    "http-body",
    "httparse",
    "httpdate",
    "hyper",
    "hyper-util",
    "itoa",
    "libc",
    "memoffset",
    "mio",
    "nix",
    "once_cell",
    "pin-project-lite",
    "proc-macro2",
    "quote",
    "signal-hook-registry",
    "smallvec",
    "socket2",
    "syn",
    "tokio",
    "tokio-macros",
    "tokio-util",
    "tower-layer",
    "tower-service",
    "tracing",
    "tracing-core",
    "unicode-ident",
];

/// How many more all features bring together.
const MORE_WITH_ALL: usize = 31;

/// Whole expressions, as crates state them. A new one is read before it is added: whether somebody who ships a program
/// under any licence may ship this with it, and with no more than a notice.
const LICENCES: [&str; 7] = [
    "(MIT OR Apache-2.0) AND Unicode-3.0",
    "Apache-2.0",
    "Apache-2.0 / MIT",
    "Apache-2.0 OR MIT",
    "MIT",
    "MIT OR Apache-2.0",
    "Unlicense OR MIT",
];

/// Crates that may be there in two versions, each with the reason. Two versions are compiled twice, and their types are
/// strangers to each other.
const TWICE: [(&str, &str); 0] = [];

const ALL: [&str; 1] = ["--all-features"];

#[derive(Debug)]
struct Dependency {
    name: String,
    version: String,
    licence: String,
}

/// Of this crate with these features, less itself: what is compiled on this platform, for the crate and for its build.
fn compiled(features: &[&str]) -> Vec<Dependency> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"]);
    cargo.args(["--package", env!("CARGO_PKG_NAME"), "--format", "{p}|{l}"]).args(features);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: BTreeSet<_> = std::str::from_utf8(&output.stdout).unwrap().lines().filter(|it| !it.is_empty()).collect();
    let dependency = |line: &str| {
        let (package, licence) = line.split_once('|').expect("the format has a bar");
        let mut words = package.split(' ');
        let (name, version) = (words.next().expect("a name"), words.next().expect("a version"));
        Dependency { name: name.to_owned(), version: version.to_owned(), licence: licence.to_owned() }
    };
    let all = lines.into_iter().map(dependency);
    all.filter(|it| it.name != env!("CARGO_PKG_NAME")).collect()
}

fn names(those: &[Dependency]) -> BTreeSet<&str> {
    those.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn the_default_features_bring_no_crate_that_is_not_listed() {
    assert_eq!(names(&compiled(&[])), BTreeSet::from(DEFAULT), "left: what cargo compiles; right: the list");
}

#[test]
fn all_features_bring_no_more_crates_than_was_decided() {
    let all = compiled(&ALL);
    let more: Vec<_> = names(&all).into_iter().filter(|name| !DEFAULT.contains(name)).collect();
    assert_eq!(more.len(), MORE_WITH_ALL, "{more:#?}");
}

#[test]
fn every_crate_that_users_compile_has_a_licence_that_was_read() {
    let all = compiled(&ALL);
    let unread: Vec<_> = all.iter().filter(|it| !LICENCES.contains(&it.licence.as_str())).collect();
    assert!(unread.is_empty(), "{unread:#?}");
    let unused: Vec<_> = LICENCES.iter().filter(|licence| !all.iter().any(|it| it.licence == **licence)).collect();
    assert!(unused.is_empty(), "no crate has these any more: {unused:?}");
}

#[test]
fn no_crate_is_compiled_in_two_versions() {
    let all = compiled(&ALL);
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    for it in &all {
        versions.entry(it.name.as_str()).or_default().insert(it.version.as_str());
    }
    versions.retain(|_, versions| versions.len() > 1);
    let allowed = BTreeMap::from(TWICE);
    let unexplained: Vec<_> = versions.iter().filter(|(name, _)| !allowed.contains_key(*name)).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let outdated: Vec<_> = TWICE.iter().filter(|(name, _)| !versions.contains_key(name)).collect();
    assert!(outdated.is_empty(), "there is only one version of these any more: {outdated:?}");
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next());
    let lines: Vec<_> = dependencies.expect("dependencies").lines().filter(|line| !line.is_empty()).collect();
    let silent: Vec<_> = lines.iter().filter(|line| !line.contains(" # ")).collect();
    assert!(!lines.is_empty() && silent.is_empty(), "{silent:#?}");
}
