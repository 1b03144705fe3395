//! What an example says of its drain.

/// A report of a drain in which nothing but an end in order has happened: nothing raced, nothing was cut by whatever reason,
/// closed by a policy or left behind. All that it may say is `3 handed over (2 upgraded, 1 other), 12 finished (9 told)`, or a
/// part of it, or that nothing was left to do.
#[track_caller]
pub fn in_order(report: &str) {
    assert!(is_in_order(report), "{report}");
}

fn is_in_order(report: &str) -> bool {
    let Some((_, ends)) = report.split_once(": drained in ").and_then(|(_, drained)| drained.split_once(" s, ")) else {
        return false;
    };
    let is_count = |word: &str| word.parse::<u64>().is_ok();
    let finished =
        match ends.split_once(" handed over (").and_then(|(count, rest)| Some((count, rest.split_once(')')?.1))) {
            Some((count, "")) => return is_count(count),
            Some((count, finished)) if is_count(count) => finished.strip_prefix(", ").unwrap_or_default(),
            _ => ends,
        };
    let words: Vec<_> = finished.split(' ').collect();
    match words[..] {
        ["nothing", "was", "left", "to", "do"] => true,
        [count, "finished"] => is_count(count),
        [count, "finished", told, "told)"] => is_count(count) && told.strip_prefix('(').is_some_and(is_count),
        _ => false,
    }
}

/// Behind a report: a line for what failed on the way, or that nobody serves any more. No example here is made to say so.
#[track_caller]
pub fn no_failure(line: &str) {
    assert!(!line.starts_with("failed: ") && !line.starts_with("the successor was lost"), "{line}");
}

#[test]
fn only_an_end_in_order_is_one() {
    for ends in [
        "nothing was left to do",
        "12 finished",
        "12 finished (9 told)",
        "3 handed over (other)",
        "3 handed over (2 upgraded, 1 other), 12 finished (9 told)",
    ] {
        assert!(is_in_order(&format!("stopped by signal 15: drained in 0.1 s, {ends}")), "{ends}");
    }
    let others = [
        "1 raced",
        "12 finished, 1 raced",
        "3 handed over (other), 1 raced",
        "1 cut half open (http1), 3 handed over (other)",
        "3 cut at the deadline (http1)",
        "12 finished (9 told), 2 closed by policy (2 raw)",
        "1 cut half open (http1)",
        "1 left behind (other)",
        "12 finished (9 told)\nthe successor was lost: nobody serves",
        "nothing was left to do\nfailed: accept",
    ];
    for ends in others {
        assert!(!is_in_order(&format!("stopped by signal 15: drained in 0.1 s, {ends}")), "{ends}");
    }
}
