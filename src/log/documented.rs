//! The table of events in `observe.md` against the sources: a page that says what is not so is worse than none.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Level, text, and fields, but for those of the span.
type Row = (String, String, BTreeSet<String>);

#[test]
fn every_event_but_for_those_of_debug_is_in_the_table_with_its_fields_and_no_other_is() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let said: BTreeSet<Row> =
        merged(files(&sources).iter().flat_map(|file| events(&fs::read_to_string(file).unwrap())));
    let documented = merged(include_str!("../observe.md").lines().filter_map(row));
    let missing: Vec<_> = said.difference(&documented).map(line).collect();
    let surplus: Vec<_> = documented.difference(&said).map(line).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing:\n{}\nsurplus:\n{}",
        missing.join("\n"),
        surplus.join("\n")
    );
}

/// One row for what is said in two places.
fn merged(rows: impl Iterator<Item = Row>) -> BTreeSet<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for (level, text, fields) in rows.filter(|(level, ..)| level != "debug") {
        match merged.iter_mut().find(|it| (&it.0, &it.1) == (&level, &text)) {
            Some(found) => found.2.extend(fields),
            None => merged.push((level, text, fields)),
        }
    }
    merged.into_iter().collect()
}

fn line((level, text, fields): &Row) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
    format!("| {level} | {text} | {} |", fields.join(", "))
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.strip_prefix("| ")?.strip_suffix('|')?.split('|').map(str::trim);
    let (level, text, fields) = (cells.next()?, cells.next()?, cells.next()?);
    let fields = fields.split(", ").map(|field| field.trim_matches('`')).filter(|field| !field.is_empty());
    ["error", "warn", "info"].contains(&level).then(|| (level.into(), text.into(), fields.map(str::to_owned).collect()))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(directories.iter().flat_map(|directory| self::files(directory))).collect()
}

fn events(source: &str) -> Vec<Row> {
    let calls = source.split("crate::log::").skip(1);
    calls.filter_map(|rest| rest.split_once("!(")).filter_map(|(level, rest)| event(level, rest)).collect()
}

fn event(level: &str, rest: &str) -> Option<Row> {
    let level = ["error", "warn", "info", "debug"].into_iter().find(|it| *it == level)?;
    let arguments = arguments(rest);
    let (text, fields) = arguments.split_last()?;
    let names =
        fields.iter().map(|field| field.split('=').next().unwrap_or(field).trim_start_matches(['%', '?']).trim());
    let own = names.filter(|name| !["generation", "pid"].contains(name));
    let text = text.trim_matches('"').split("\\\n").map(str::trim_start).collect();
    Some((level.into(), text, own.map(str::to_owned).collect()))
}

/// What is between the parentheses, taken apart at its commas.
fn arguments(rest: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut is_quoted) = (vec![String::new()], 0, false);
    for letter in rest.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' if !is_quoted && depth == 0 => break,
            ')' | ']' | '}' if !is_quoted => depth -= 1,
            ',' if !is_quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().expect("there is always one").push(letter);
    }
    arguments.into_iter().map(|argument| argument.trim().to_owned()).filter(|argument| !argument.is_empty()).collect()
}
