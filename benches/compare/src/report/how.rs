//! What a reader of the page must know to believe it.

use maud::{Markup, html};

use super::standing::{Figure, Part};
use crate::{
    measure::{AFTERMATH, CLOSING, CONSEQUENCES},
    results::Machine,
};

pub(super) fn how(machine: &Machine) -> Markup {
    html! {
        section id="how" {
            h2 { "How it was measured" }
            ul {
                li { "Each server runs on one worker or thread and gives the same response. Clients and server share the machine, over loopback." }
                li { "Every system is measured once a round, and each round begins with another one. Times and rates are medians of the rounds, counts are sums; timelines and curves are those of the first round. Counting begins when all clients are connected." }
                li {
                    "The clients never ask a second time. A request is " b { "answered" } " by a whole response that is the expected one; "
                    b { "lost" } " if it was refused, reset, cut in the middle, wrong, too late, or " b { "raced" }
                    ": it met the end of a kept-alive connection, and nobody can know whether it was carried out. What the protocol tells a client that it may send again is no loss."
                }
                li { "A connection is " b { "reopened" } " where a client that meant to keep it had to open another one. Of wrk's, at most one for each client and restart is seen." }
                li { "Latency counts from when a client wished to ask, or at a constant rate ought to have asked, with the connection where it needed a new one, to the last byte. Only answers have one: who loses the slow requests looks fast." }
                li {
                    "A request has met a restart if a restart was under way at any time from when it was due to its end. A restart is under way until the old process has ended, for at least "
                    (AFTERMATH.as_millis()) " ms after the new one has answered, and for at most " (CLOSING.as_secs())
                    " s. The clients ask on until the old process has ended, for at most " (CONSEQUENCES.as_secs())
                    " s, so that what becomes of connections that stay with it is counted. Where it has not ended then, that is said. Percentiles are of HDR histograms with three digits."
                }
                li { "Answers a second are those of the time before that, which is as long for all; wrk's are of its whole run."
                }
                li { "The time of a restart is the median, from asking for it to the first answer of the new process to a new connection, which a thread of its own opens again and again." }
                li { "Processor time is that of all of a server's processes, in user and kernel mode, by their own clocks, divided by the answers of that time. It is taken before the first restart, because a process that ends takes its clock with it; of wrk, which counts its answers at its end only, in the run without a restart. Two servers that share a machine with their clients may differ in answers a second because of the clients, and in this they do not." }
                li { "The WebSocket's echo is the same code in all Rust servers. Ours hands each over between two frames, and so has the bare socket; the others', and ours with handover off, have hyper's upgraded connection, and say goodbye (1012)." }
                li { (rule()) }
                li { "With SO_REUSEPORT, connections that wait in the queue of a process that ends are reset, unless net.ipv4.tcp_migrate_req is set; here it is " (machine.tcp_migrate_req) "." }
                li { "Not measured: HAProxy's " code { "close-spread-time" } ", which is left at its default, and nginx's " code { "keepalive_min_timeout" } ", which comes with 1.27.4 and spares idle connections at a reload." }
                li { "Long runs are drawn in columns of several slots, of which the most and the fewest answers and the longest latency are shown, so that no slot is smoothed away." }
            }
        }
    }
}

/// By which ours is called behind.
fn rule() -> String {
    let floor = |part| Figure::Outside(part).floor();
    format!(
        "A marked cell (▾) is one in which a server of this crate is behind the best of the others in the scenario. Counts: by \
         any amount. Times and rates: by more than {tolerance:.0} %, and for times by more than {p50} ms (p50, p99), {p999} ms \
         (p99.9, of at least {many} answers) or {max} ms (the longest, and a restart), and only if each of at least {rounds} \
         rounds of the other is better than each of ours; with fewer rounds it is not decided. Who has lost something, or not \
         restarted when it ought to, is ahead of nobody in connections reopened, in latencies in restarts and in the longest. \
         Why is said under the table.",
        tolerance = Figure::TOLERANCE * 100.0,
        p50 = floor(Part::P50),
        p999 = floor(Part::P999),
        many = Figure::MANY,
        max = floor(Part::Max),
        rounds = Figure::ROUNDS,
    )
}
