//! Which versions are compared.

use std::{collections::BTreeMap, env, path::PathBuf, process::Command};

/// Of all that are here: what is installed, and what this program is made of.
pub(crate) fn versions() -> BTreeMap<String, String> {
    let crates = ["axum", "ecdysis", "hyper", "listenfd", "shellflip", "tokio", "tokio-hotrestart"];
    let crates = crates.into_iter().filter_map(|name| Some((name.to_owned(), version_of(name)?)));
    let programs = ["haproxy", "nginx", "wrk"].into_iter();
    crates.chain(programs.filter_map(|name| Some((name.to_owned(), installed(name)?)))).collect()
}

/// Where a program is.
pub(super) fn path_of(program: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Of a program; `None` where it is not installed.
pub(crate) fn installed(program: &str) -> Option<String> {
    // Each says it in its own way, to one or the other, and wrk with a failure.
    let said = Command::new(program).arg("-v").output().ok()?;
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut words = said.split([' ', '/', '\n']);
    let is_version = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let version = words.find(|word| is_version(word)).unwrap_or("of unknown version");
    // Without the distribution's part: it stands in the name of a row.
    Some(version.split('-').next().unwrap_or(version).to_owned())
}

/// Of a crate, as this program was built with it.
pub(crate) fn version_of(name: &str) -> Option<String> {
    let (_, rest) = include_str!("../../../../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split('"').next()?.to_owned())
}
