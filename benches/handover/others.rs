//! What others do: reloads of nginx and HAProxy, one worker each, with an answer of the same size.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Command, time::sleep, time::timeout};

use super::{MS, SECOND};

/// Who is reloaded, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Other {
    NginxReload,
    /// Another binary, and then an end for the first.
    NginxUpgrade,
    Haproxy,
}

/// One of these, which runs.
pub(super) struct Running {
    other: Other,
    pub(super) address: SocketAddr,
    place: TempDir,
    /// All of its processes.
    group: Pid,
}

impl Other {
    pub(super) const ALL: [Self; 3] = [Self::NginxReload, Self::NginxUpgrade, Self::Haproxy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NginxReload => "nginx, HUP",
            Self::NginxUpgrade => "nginx, USR2 and QUIT",
            Self::Haproxy => "HAProxy, USR2",
        }
    }

    /// `None`: it is not installed.
    pub(super) async fn start(self) -> anyhow::Result<Option<Running>> {
        let place = tempfile::tempdir()?;
        // Neither takes port 0.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let (program, config, arguments) = match self {
            Self::NginxReload | Self::NginxUpgrade => ("nginx", nginx(address, &place), &["-e", "stderr"][..]),
            // In a group of its own by its own doing, as nginx is.
            Self::Haproxy => ("haproxy", haproxy(address), &["-W", "-D"][..]),
        };
        let (file, pid_file) = (place.path().join("config"), place.path().join("pid"));
        fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.args(arguments);
        match self {
            Self::NginxReload | Self::NginxUpgrade => command.arg("-c").arg(&file),
            Self::Haproxy => command.arg("-p").arg(&pid_file).arg("-f").arg(&file),
        };
        let log = fs::File::create(place.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let Ok(status) = command.status().await else { return Ok(None) };
        anyhow::ensure!(status.success(), "{program}: {}", fs::read_to_string(place.path().join("log"))?);
        let group = until(|| read_pid(&pid_file)).await.context("no pid file")?;
        let running = Running { other: self, address, place, group };
        timeout(5 * SECOND, async {
            while TcpStream::connect(address).await.is_err() {
                sleep(10 * MS).await;
            }
        })
        .await
        .with_context(|| format!("{program} does not serve"))?;
        Ok(Some(running))
    }
}

impl Running {
    pub(super) async fn reload(&self) -> anyhow::Result<()> {
        let first = self.master().context("no pid file")?;
        match self.other {
            Other::NginxReload => kill(first, Signal::SIGHUP)?,
            Other::Haproxy => kill(first, Signal::SIGUSR2)?,
            Other::NginxUpgrade => {
                kill(first, Signal::SIGUSR2)?;
                until(|| self.master().filter(|pid| *pid != first)).await.context("no second master")?;
                kill(first, Signal::SIGQUIT)?;
                // Else the next USR2 is ignored.
                until(|| (!self.place.path().join("pid.oldbin").exists()).then_some(()))
                    .await
                    .context("two masters")?;
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        kill(self.master().context("no pid file")?, Signal::SIGTERM)?;
        Ok(())
    }

    fn master(&self) -> Option<Pid> {
        read_pid(&self.place.path().join("pid"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails where nobody is left, and that is what it is for.
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

fn read_pid(file: &PathBuf) -> Option<Pid> {
    Some(Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?))
}

/// Looks until it is there.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    Ok(timeout(5 * SECOND, found).await?)
}

fn nginx(address: SocketAddr, place: &TempDir) -> String {
    let place = place.path().display();
    format!(
        "worker_processes 1; pid {place}/pid; error_log {place}/log error;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
    client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4;
    scgi_temp_path {place}/5;
    server {{ listen {address}; location / {{ default_type text/plain; return 200 'hello world'; }} }}
}}
"
    )
}

fn haproxy(address: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout client 1h
    timeout server 1h
    timeout connect 5s
frontend bench
    bind {address}
    http-request return status 200 content-type text/plain string \"hello world\"
"
    )
}
