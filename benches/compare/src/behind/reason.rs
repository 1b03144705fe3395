use super::figure::Figure;

/// Why somebody is better: what was found when it was looked into.
pub(super) fn reason(figure: Figure, by: &str, _scenario: &str) -> &'static str {
    let c = by.starts_with("nginx") || by.starts_with("HAProxy");
    match figure {
        Figure::Throughput if c => {
            "a server in C that sends a constant; each of our requests goes through hyper, axum's router and a handler"
        }
        Figure::RestartTime if by == "nginx, HUP" => {
            "it loads no program: its master forks a worker, and that one serves at once"
        }
        _ => "no reason is known",
    }
}
