//! The Rust servers: this program, run once more.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use command_fds::{CommandFdExt, FdMapping};
use nix::{sys::signal::Signal, unistd::Pid};
use shellflip::RestartConfig;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout},
    time::timeout,
};

use super::{
    group::{Group, signal},
    place::Place,
    running::Told,
};
use crate::server::{Kind, Setup};

/// One of these, and whoever succeeds it.
pub(super) struct Rust {
    kind: Kind,
    /// What a service manager holds.
    sockets: Vec<TcpListener>,
    /// Who was started last; those who replace themselves are of one group. `None`: it was stopped, and nobody has come.
    newest: Option<Process>,
}

/// One that was started here, in a group of its own.
struct Process {
    /// First: it goes while the child that was not waited for keeps its number.
    group: Group,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// For how long systemd waits for a stop, and for a start.
const PATIENCE: Duration = Duration::from_secs(90);

impl Rust {
    pub(super) fn start(kind: Kind, place: &Place) -> anyhow::Result<Self> {
        Self::mend_release(place)?;
        let holds = matches!(kind, Kind::Activated | Kind::Shellflip);
        let sockets = if holds { bind(&place.setup)? } else { Vec::new() };
        let newest = Some(spawn(kind, &sockets, &place.setup, place)?);
        Ok(Self { kind, sockets, newest })
    }

    /// Of whoever was started last, and has come of that one.
    pub(super) fn group(&self) -> Option<&Group> {
        self.newest.as_ref().map(|process| &process.group)
    }

    pub(super) async fn restart(&mut self, place: &Place, serves: u64) -> anyhow::Result<Told> {
        match self.kind {
            Kind::Ours | Kind::OursStays => {
                let answer = tokio_hotrestart::control::restart(control(place)).await;
                Ok(answer.map_or_else(|error| Told::Failed(error.to_string()), |_| Told::Succeeded))
            }
            Kind::Shellflip => {
                let coordination_socket_path = control(place);
                let config = RestartConfig { enabled: true, coordination_socket_path, ..RestartConfig::default() };
                let answer = config.request_restart().await;
                Ok(answer.map_or_else(|error| Told::Failed(error.to_string()), |_pid| Told::Succeeded))
            }
            Kind::Ecdysis => {
                signal(Pid::from_raw(serves.try_into()?), Signal::SIGHUP)?;
                Ok(Told::Nothing)
            }
            Kind::Activated => {
                if let Some(before) = self.newest.take() {
                    before.stop().await?;
                }
                self.start_another(place).await
            }
            Kind::ReusePort => {
                let before = self.newest.take();
                let told = self.start_another(place).await?;
                match before {
                    Some(before) if told == Told::Succeeded => before.stop().await?,
                    // Nobody stops the old one before he has seen how the new one started.
                    before => self.newest = before,
                }
                Ok(told)
            }
        }
    }

    /// Waits until it is ready, as `systemctl` does.
    async fn start_another(&mut self, place: &Place) -> anyhow::Result<Told> {
        let setup = Setup { gib: 0, ..place.setup.clone() };
        let mut another = spawn(self.kind, &self.sockets, &setup, place)?;
        if another.is_ready().await? {
            self.newest = Some(another);
            return Ok(Told::Succeeded);
        }
        Ok(Told::Failed(another.child.wait().await?.to_string()))
    }

    /// The program becomes one that says that it is broken, and ends.
    pub(super) fn break_release(place: &Place) -> anyhow::Result<()> {
        place.replace("server", |next| {
            fs::write(next, "#!/bin/sh\necho 'this release is broken' >&2\nexit 3\n")?;
            fs::set_permissions(next, fs::Permissions::from_mode(0o755))
        })
    }

    /// The program is this one.
    pub(super) fn mend_release(place: &Place) -> anyhow::Result<()> {
        let this = env::current_exe()?;
        place.replace("server", |next| std::os::unix::fs::symlink(this, next))
    }
}

impl Process {
    /// Whether it said so before it ended.
    async fn is_ready(&mut self) -> anyhow::Result<bool> {
        let mut line = String::new();
        timeout(PATIENCE, self.stdout.read_line(&mut line)).await.context("neither ready nor at its end")??;
        Ok(line == "ready\n")
    }

    /// Waits until it has ended, where it has not yet.
    async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            signal(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        }
        timeout(PATIENCE, self.child.wait()).await.context("it does not stop")??;
        self.group.ended();
        Ok(())
    }
}

fn spawn(kind: Kind, sockets: &[TcpListener], setup: &Setup, place: &Place) -> anyhow::Result<Process> {
    let mut command = Command::new(program(place));
    command.arg(format!("--be={kind}")).args(setup.arguments());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(place.log_file()?).process_group(0);
    match (kind, sockets) {
        (Kind::Shellflip, [socket, ..]) => {
            command.stdin(std::os::fd::OwnedFd::from(socket.try_clone()?));
        }
        (Kind::Activated, sockets) => {
            let mapping = |(number, socket): (usize, &TcpListener)| {
                Ok(FdMapping { parent_fd: socket.try_clone()?.into(), child_fd: 3 + i32::try_from(number)? })
            };
            let mappings = sockets.iter().enumerate().map(mapping).collect::<anyhow::Result<_>>()?;
            // Without LISTEN_PID, which nobody knows before it runs; listenfd does not insist on it.
            command.env("LISTEN_FDS", sockets.len().to_string()).fd_mappings(mappings)?;
        }
        _ => {}
    }
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let group = Group::of(Pid::from_raw(child.id().context("it runs")?.try_into()?));
    let stdout = BufReader::new(child.stdout.take().context("it is piped")?);
    Ok(Process { group, child, stdout })
}

/// The sockets that a service manager would hold.
fn bind(setup: &Setup) -> anyhow::Result<Vec<TcpListener>> {
    let bind = |address: std::net::SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    };
    setup.addresses().map(bind).collect()
}

fn program(place: &Place) -> PathBuf {
    place.file("server")
}

/// Where an operator asks.
fn control(place: &Place) -> PathBuf {
    place.file("control")
}
