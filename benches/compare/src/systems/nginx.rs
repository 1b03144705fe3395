use std::{fs, process::Stdio, time::Duration};

use anyhow::Context;
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{
    System,
    group::{Group, signal},
    place::Place,
    running::Told,
    versions::path_of,
};

/// nginx, with one worker.
pub(super) struct Nginx {
    system: System,
    pub(super) group: Group,
}

/// Its `echo_sleep` is how nginx answers late.
pub(crate) const ECHO: &str = "/usr/lib/nginx/modules/ngx_http_echo_module.so";

impl Nginx {
    pub(super) async fn start(system: System, place: &Place) -> anyhow::Result<Self> {
        Self::mend_release(place)?;
        // By its whole path: by that it starts another one of itself, and looks nowhere else.
        let mut command = Command::new(path_of("nginx").context("it is not in PATH")?);
        command.args(["-e", "stderr", "-c"]).arg(place.file("config"));
        // As a daemon, which leaves its parent: one that has it still takes itself for a successor, and ignores USR2.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(place.log_file()?);
        anyhow::ensure!(command.status().await?.success(), "nginx: {}", place.log());
        // It has made a session of its own.
        let master = until(|| master(place)).await.context("no pid file")?;
        Ok(Self { system, group: Group::of(master) })
    }

    pub(super) async fn restart(&mut self, place: &Place) -> anyhow::Result<Told> {
        let first = master(place).context("no pid file")?;
        if self.system == System::NginxReload {
            signal(first, Signal::SIGHUP)?;
            return Ok(Told::Nothing);
        }
        signal(first, Signal::SIGUSR2)?;
        // As its manual has it: the first master is told to quit when the second is there, and not before.
        if until(|| master(place).filter(|pid| *pid != first)).await.is_none() {
            return Ok(Told::Nothing);
        }
        signal(first, Signal::SIGQUIT)?;
        // Else the next USR2 would be ignored.
        until(|| (!place.file("pid.oldbin").exists()).then_some(())).await.context("two masters")?;
        Ok(Told::Nothing)
    }

    pub(super) fn break_release(place: &Place) -> anyhow::Result<()> {
        place.replace("config", |next| fs::write(next, "this is no configuration;\n"))
    }

    pub(super) fn mend_release(place: &Place) -> anyhow::Result<()> {
        place.replace("config", |next| fs::write(next, config(place)))
    }
}

/// As ours has by default, and as the other Rust servers have.
const BACKLOG: u32 = 4096;

/// Whoever may be signalled.
fn master(place: &Place) -> Option<Pid> {
    let pid = fs::read_to_string(place.file("pid")).ok()?;
    Some(Pid::from_raw(pid.trim().parse().ok()?))
}

/// Looks until it is there, but not for ever.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(2), found).await.ok()
}

fn config(place: &Place) -> String {
    let directory = place.setup.place.display();
    let mut listen: String =
        place.setup.addresses().map(|address| format!("listen {address} backlog={BACKLOG}; ")).collect();
    // In clear text it speaks HTTP/2 with whoever knows, on a port where it speaks nothing else.
    listen += &format!("listen {} http2 backlog={BACKLOG};", place.setup.http2());
    let (module, slow) = if fs::exists(ECHO).unwrap_or_default() {
        let slow = "location ~ ^/slow/ { default_type text/plain; echo_sleep 0.3; echo -n 'slept 300 ms'; }";
        (format!("load_module {ECHO};"), slow)
    } else {
        (String::new(), "")
    };
    format!(
        "{module}
worker_processes 1; pid {directory}/pid; error_log {directory}/log notice;
worker_rlimit_nofile 20000;
events {{ worker_connections 18000; }}
http {{
    access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
    client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
    uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
    server {{
        {listen}
        add_header x-generation $pid;
        location / {{ default_type text/plain; return 200 'hello world'; }}
        {slow}
    }}
}}
"
    )
}
