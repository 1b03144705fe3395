use crate::{
    report::{Better, Figure},
    results::Run,
};

/// Why somebody is better: what was found when it was looked into. `None`: it was not found out.
pub(super) fn reason(better: &Better, _ours: &Run) -> Option<&'static str> {
    let is_c = better.system.starts_with("nginx") || better.system.starts_with("HAProxy");
    match better.figure {
        Figure::Throughput if is_c => Some(
            "nginx and HAProxy are C and send a constant; our requests go through hyper, axum's router and a handler",
        ),
        Figure::RestartTime if better.system == "nginx, HUP" => {
            Some("at HUP nginx loads no program: its master forks a worker, and that one serves at once")
        }
        _ => None,
    }
}
