use crate::{
    report::{Better, Figure, Part},
    results::Run,
    systems::System,
};

/// Why somebody is better than ours: what was found when it was looked into. `None`: it was not found out.
pub(super) fn reason(ours: &Run, better: &Better) -> Option<&'static str> {
    let stays = ours.system != System::OURS.to_string();
    let name = better.system.as_str();
    let is_c = name.starts_with("nginx") || name.starts_with("HAProxy");
    Some(match better.figure {
        // Of medians only: a tail has other causes.
        Figure::Throughput | Figure::Cpu | Figure::Outside(Part::P50) | Figure::InRestarts(Part::P50) if is_c => {
            "nginx and HAProxy are C and send a constant; our requests go through hyper, axum's router and a handler"
        }
        Figure::Lost if stays => {
            "an idle connection that is let go can meet a request that is on its way, for which HTTP/1.1 has no way out"
        }
        Figure::Reconnects if stays => "with handover off every client is told, and opens another connection",
        Figure::RestartTime if name.starts_with("nginx") && name.ends_with("HUP") => {
            "at HUP nginx loads no program: its master forks a worker, and that one serves at once"
        }
        Figure::RestartTime if name.ends_with("socket activation") => {
            "it is stopped before another is started, which shares the processor with nobody; its clients wait meanwhile"
        }
        Figure::InRestarts(_) if ours.scenario == "1,000 sockets" => {
            "each listener is a task, which hears that it may accept and that it may not any more, some hundred before a \
             client has a turn, in the old process and in the new one"
        }
        Figure::RestartTime => {
            "others' new process accepts beside the old one as soon as it runs; ours accepts nobody before it is \
             confirmed, so that a bad one never serves"
        }
        _ => return None,
    })
}
